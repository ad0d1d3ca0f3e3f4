// Dead letters as a file: taken out, and brought in again. To the byte, as the command line has them.

import { get, post, query, Trouble } from "./api.js";
import { kindsTable } from "./bulk.js";
import { fill, h } from "./dom.js";
import { count, plural } from "./format.js";
import { ask, fault, field, toast } from "./parts.js";

const LINES = 500; // of one request
const REQUEST_BYTES = 1.5e6; // the API takes 2 MiB
const FILE_BYTES = 64e6;
const encoder = new TextEncoder();

// chosen: as the list has it.
export async function exportLetters(chosen) {
  const { kinds } = await get(`/dead-letters/kinds${query(chosen)}`);
  const total = kinds.reduce((sum, kind) => sum + kind.count, 0);
  const { node, move } = progress(total, "Letters written");
  let going = true;
  const dialog = ask({
    title: `Export ${plural(total, "dead letter")}?`,
    text: "All that match, as lines of JSON with everything of their messages: keep the file where only you can read it. They stay here too.",
    fields: [kindsTable(kinds), node],
    yes: "Export",
    act: async () => {
      const parts = [];
      let done = 0;
      for (let after = 0; after !== null && going; ) {
        const seen = await get(`/dead-letters/export${query({ ...chosen, after })}`);
        parts.push(...seen.lines.map((line) => `${line}\n`));
        done += seen.lines.length;
        move(done, `${count(done)} of ${count(total)}`);
        after = seen.next;
      }
      if (!going) return;
      save(`dead-letters-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.jsonl`, parts);
      toast(`${plural(done, "dead letter")} written to a file.`);
    },
  });
  dialog.classList.add("large");
  dialog.addEventListener("close", () => (going = false));
}

function save(name, parts) {
  const href = URL.createObjectURL(new Blob(parts, { type: "application/x-ndjson" }));
  h("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

export function importLetters(after) {
  const file = h("input", { type: "file", name: "file", required: true, accept: ".jsonl,.ndjson,.json,.txt" });
  const seen = h("div", { role: "status" });
  const { node, move } = progress(1, "Letters kept");
  let portions = [];
  const dialog = ask({
    title: "Import dead letters",
    text: "A file that was exported, here or elsewhere. Each letter gets a number of its own; what is imported twice is kept twice. Nothing is sent until you redrive it.",
    fields: [field("File", file), seen, node],
    yes: "Import",
    act: async () => {
      if (!portions.length) throw new Trouble(0, "no_file", "Choose a file.", "One line a letter, as Export writes it.");
      let done = 0;
      try {
        // What is kept is not sent again, if the next portion fails and somebody tries once more.
        for (; portions.length; portions.shift()) {
          done += (await post("/dead-letters/import", portions[0])).imported;
          move(done, `${count(done)} kept`);
        }
      } finally {
        if (done) await after();
      }
      toast(`${plural(done, "dead letter")} kept.`);
    },
  });
  const go = dialog.querySelector("button[type=submit]");
  file.addEventListener("change", async () => {
    portions = [];
    go.disabled = true;
    fill(seen, h("p.muted", null, "Looking at every line …"));
    try {
      const found = await looked(file.files[0]);
      fill(seen, kindsTable(found.kinds));
      portions = found.portions;
      move(0, "", found.total);
    } catch (error) {
      fill(seen, fault(error));
      file.value = ""; // so that the same one, corrected, can be chosen again
    }
    go.disabled = false;
    go.textContent = portions.length ? `Import ${count(portions.reduce((sum, each) => sum + each.lines.length, 0))}` : "Import";
  });
  dialog.classList.add("large");
}

// What is in a file, once the bridge has found every line of it right. Raises Trouble.
async function looked(file) {
  if (!file) throw new Trouble(0, "no_file", "Choose a file.", "One line a letter, as Export writes it.");
  if (file.size > FILE_BYTES) throw new Trouble(0, "large", "The file is too large for a page.", "Use `workflow-bridge dead-letters import` beside the outbox file.");
  const portions = divided(await file.text());
  if (!portions.length) throw new Trouble(0, "empty", "The file has no lines.", "One line a letter, as Export writes it.");
  const kinds = new Map();
  for (const each of portions) {
    for (const kind of (await post("/dead-letters/import", { ...each, dry_run: true })).kinds) {
      const name = JSON.stringify([kind.rule, kind.reason, kind.source]);
      kinds.set(name, { ...kind, count: kind.count + (kinds.get(name)?.count ?? 0) });
    }
  }
  const total = portions.reduce((sum, each) => sum + each.lines.length, 0);
  return { portions, total, kinds: [...kinds.values()].sort((one, other) => other.count - one.count) };
}

// As requests, each of lines that follow each other without an empty one between.
function divided(text) {
  const portions = [];
  let size = 0;
  let open = null;
  for (const [place, line] of text.split("\n").entries()) {
    if (!line.trim()) {
      open = null;
      continue;
    }
    const bytes = encoder.encode(JSON.stringify(line)).length;
    if (bytes > REQUEST_BYTES) throw new Trouble(0, "large", `Line ${place + 1} is too large for a page.`, "Use `workflow-bridge dead-letters import` beside the outbox file.");
    if (!open || open.lines.length === LINES || size + bytes > REQUEST_BYTES) {
      open = { first_line: place + 1, lines: [] };
      portions.push(open);
      size = 0;
    }
    open.lines.push(line);
    size += bytes;
  }
  return portions;
}

function progress(total, label) {
  const bar = h("progress", { max: total, value: 0, hidden: true, "aria-label": label });
  const said = h("p.muted.small.num", { role: "status" });
  const move = (done, text, most) => {
    if (most) bar.max = most;
    bar.hidden = !done;
    bar.value = done;
    fill(said, text);
  };
  return { node: h("div", null, bar, said), move };
}
