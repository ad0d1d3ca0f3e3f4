// Many instances of a workflow, a hundred a request; ids that were used are told, and stay to be changed.

import { post, Trouble } from "./api.js";
import { fill, h } from "./dom.js";
import { count, plural } from "./format.js";
import { ask, field, parsed, toast } from "./parts.js";

const PER_REQUEST = 100;
const REQUEST_BYTES = 1.9e6; // the API takes 2 MiB
const SHOWN = 10;
const EXAMPLE = '{"instance_id": "order-1", "params": {"order_id": 1}}\n{"instance_id": "order-2"}';

export function createSeveral(workflow, url, after) {
  const text = h("textarea", { name: "lines", spellcheck: "false", rows: "10", placeholder: EXAMPLE, required: true });
  const file = h("input", { type: "file", accept: ".jsonl,.ndjson,.json,.txt" });
  const said = h("p.muted.small.num", { role: "status" });
  const tell = () => {
    const many = text.value.split("\n").filter((line) => line.trim()).length;
    fill(said, many ? `${plural(many, "instance")}, ${plural(Math.ceil(many / PER_REQUEST), "request")} of the quota` : "");
    go.textContent = many ? `Create ${count(many)}` : "Create";
  };
  const dialog = ask({
    title: "Create several instances",
    text: `Of ${workflow}: one a line, as JSON. An id that was used is left out, and told.`,
    fields: [field("Instances", text), field("Or from a file", file), said],
    yes: "Create",
    act: async () => {
      const left = portions(text.value);
      const used = [];
      let made = 0;
      try {
        while (left.length) {
          const ids = new Set(await send(url, left[0]));
          made += ids.size;
          used.push(...left.shift().filter((each) => !ids.has(each.id)));
          fill(said, `${plural(made, "instance")} created`);
        }
      } finally {
        text.value = [...used, ...left.flat()].map((each) => each.line).join("\n");
        if (made) await after();
      }
      if (used.length) throw leftOut(made, used);
      toast(`${plural(made, "instance")} created.`);
    },
  });
  const go = dialog.querySelector("button[type=submit]");
  text.addEventListener("input", tell);
  file.addEventListener("change", async () => {
    text.value = (await file.files[0]?.text()) ?? "";
    tell();
  });
  dialog.classList.add("large");
  tell();
}

function leftOut(made, used) {
  const names = used.slice(0, SHOWN).map((each) => each.id).join(", ");
  const more = used.length > SHOWN ? ` and ${count(used.length - SHOWN)} more` : "";
  return new Trouble(0, "used", `${count(made)} created. Used before, and left out: ${names}${more}.`, "They are above: give them other ids, or leave them.");
}

// The ids that were created. A single one goes by another endpoint, which refuses a used id. Each line is sent as it is,
// so that no number is rounded.
async function send(url, some) {
  try {
    return (await post(url, `{"instances":[${some.map((each) => each.line).join(",")}]}`)).ids;
  } catch (error) {
    if (error.code === "api_exists") return [];
    throw error;
  }
}

// All lines are looked at before the first request. Raises Trouble, which names the line.
function portions(text) {
  const all = [];
  let size = 0;
  for (const [place, line] of text.split("\n").entries()) {
    if (!line.trim()) continue;
    const value = parsed(line, `Line ${place + 1}`);
    if (typeof value?.instance_id !== "string" || !value.instance_id) throw new Trouble(0, "no_id", `Line ${place + 1} has no instance_id.`, 'Write {"instance_id": "…", "params": …}.');
    const bytes = new Blob([line]).size;
    if (!all.length || all.at(-1).length === PER_REQUEST || size + bytes > REQUEST_BYTES) {
      all.push([]);
      size = 0;
    }
    all.at(-1).push({ line, id: value.instance_id });
    size += bytes;
  }
  if (!all.length) throw new Trouble(0, "nothing", "There is no line.", 'Write {"instance_id": "…", "params": …}.');
  return all;
}
