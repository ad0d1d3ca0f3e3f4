// Where messages come from, and how far each source is read.

import { get } from "../api.js";
import { fill, h } from "../dom.js";
import { count, duration, rate } from "../format.js";
import { badge, empty, facts, head, row, table } from "../parts.js";
import { toggle } from "../pausing.js";

const TONES = { reading: "ok", paused: "warn", disconnected: "bad", waiting: "bad", held_up: "warn", stopped: "" };
const WORDS = { reading: "reading", paused: "paused", disconnected: "no broker", waiting: "waits for schemas", held_up: "held up", stopped: "stopped" };
const COLUMNS = [["Partition", "lead"], ["Not fetched yet", "right"], ["Behind by", "right"]];
const EVERY_MS = 2000;

function source(each, open, act) {
  const late = Math.max(0, ...each.partitions.map((part) => part.lag_seconds));
  const rows = each.partitions.map((part) => row(COLUMNS, [h("code", null, part.name), count(part.lag_messages), duration(part.lag_seconds)]));
  const details = h("details", { open, "data-name": each.name }, h("summary", null, `Partitions (${each.assigned})`), table(`Partitions of ${each.name}`, COLUMNS, rows));
  return h(
    "section.card",
    { "aria-label": `Source ${each.name}` },
    h("div.card-head", null, h("div.row", null, h("h2", null, each.name), badge(each.type), badge(WORDS[each.state] ?? each.state, TONES[each.state] ?? "warn")), h("div.row", null, h("span.muted.small.wrap", null, each.reads.join(", ")), act)),
    h(
      "div.card-body.stack",
      null,
      each.state === "reading" ? null : h("p", null, each.explanation),
      facts([
        ["Messages in", `${rate(each.received_per_second)} /s`],
        ["Since the start", count(each.received)],
        ["At the broker", count(each.lag_messages)],
        ["Behind by", each.partitions.length ? duration(late) : "–"],
        ["Not acknowledged", count(each.unacknowledged)],
        ["No rule matched", count(each.unmatched)],
        ["Dropped", count(each.dropped)],
        ["Reconnects", count(each.reconnects)],
      ]),
      each.partitions.length ? details : null,
    ),
  );
}

export async function show(main, { signal }) {
  const list = h("div.grid");
  const { may_act: mayAct } = await get("/overview", signal);
  const act = (each) => (mayAct && each.state !== "stopped" ? toggle({ kind: "source", name: each.name }, each.state === "paused", () => refresh(each.name)) : null);
  const refresh = (changed) => get("/sources", signal).then((now) => draw(now, changed), () => {});
  const draw = ({ sources }, changed) => {
    const open = new Set([...list.querySelectorAll("details[open]")].map((node) => node.dataset.name));
    if (!changed && (list.contains(document.activeElement) || document.querySelector("dialog"))) return; // not under somebody's fingers
    fill(list, sources.length ? sources.map((each) => source(each, open.has(each.name), act(each))) : empty("sources", "No sources", "The configuration names none."));
    if (changed) list.querySelector(`button[aria-label$=" ${CSS.escape(changed)}"]`)?.focus();
  };
  draw(await get("/sources", signal));
  fill(main, head("Sources", "Where messages come from, and how far each is read."), list);
  const timer = setInterval(() => refresh(), EVERY_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}
