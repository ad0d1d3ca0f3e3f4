// What messages mean: how often each rule fired, and what all of them make of a message.

import { get, post } from "../api.js";
import { fill, h, icon } from "../dom.js";
import { ago, count, rate } from "../format.js";
import { badge, card, fault, field, head, json, row, select, table } from "../parts.js";
import { toggle } from "../pausing.js";

const COLUMNS = [["Rule", "lead"], ["Condition", ""], ["Matched", "right"], ["Last match", "nowrap"], ["Errors", "right"], ["Outcomes", ""], ["", ""]];
const TONES = { errored: "bad", delivered: "ok", exists: "", retry: "warn", park: "warn", dead: "bad", restarted: "", signalled: "", renewed: "", dropped: "" };
const WORDS = { errored: "ended in an error", retry: "tried again", park: "waited for its instance", exists: "existed" };
const ICONS = { matches: ["fine", "yes"], "does not match": ["skip", "muted"], "cannot be computed": ["no", "no"], "is for other sources": ["skip", "muted"], "is not reached": ["skip", "muted"] };
const EXAMPLE = { headers: {}, body: { type: "order.created", order_id: 17, total: 42 } };
const EVERY_MS = 3000;
const CALLS = ["create", "event", "status"];

function rule(each, now, act) {
  const what = h("div", null, h("div.row", null, h("strong", null, each.name), badge(each.action.replace("_", " "), "accent"), each.final ? badge("final") : null, each.paused ? badge("paused", "warn") : null, each.held ? badge(`calls held back: ${each.held}`, "bad") : null), h("div.sub", null, each.does), each.sources.length ? h("div.sub", null, `from ${each.sources.join(", ")}`) : null);
  const condition = each.when ? h("code.clip", { title: each.when }, each.when) : h("span.muted", null, "always");
  const outcomes = Object.entries(each.outcomes);
  return row(COLUMNS, [
    what,
    condition,
    h("div", null, count(each.matched), each.matched_per_second ? h("div.sub.nowrap", null, `${rate(each.matched_per_second)} /s`) : null),
    ago(each.last_match_ms, now),
    each.errors ? badge(count(each.errors), "warn") : "0",
    outcomes.length ? h("div.row", null, outcomes.map(([name, many]) => badge(`${WORDS[name] ?? name} ${count(many)}`, TONES[name] ?? ""))) : h("span.muted", null, "none yet"),
    act ?? "",
  ]);
}

function tree(step) {
  const tone = step.error === null ? { true: "yes", false: "no" }[step.value] ?? "" : "no";
  const reads = Object.entries(step.reads).map(([name, value]) => `${name} = ${value}`).join(", ");
  return h("div.tree", null, h("div.wrap", null, step.expression, " → ", h("b", { class: tone }, step.error === null ? step.value : `no value: ${step.error}`), reads && h("span.muted", null, `  (${reads})`)), step.parts.map(tree));
}

function made(result) {
  const calls = result.calls.map((call) => {
    const kind = call.event_type ? `, type ${call.event_type}` : "";
    return h("div.stack", null, h("p", null, badge(call.operation, "ok"), ` ${call.workflow} / `, h("strong.wrap", null, call.instance_id), kind, h("span.muted", null, ` at ${call.target}, lane ${call.lane}, priority ${call.priority}`)), json(call.body));
  });
  const dead = result.dead_letters.map((each) => h("p", null, badge("dead letter", "bad"), ` ${each.reason}: ${each.detail}`));
  return [calls, dead, result.dropped.map((reason) => h("p", null, badge("dropped", "warn"), ` ${reason}`))];
}

function verdict(each) {
  const [mark, tone] = ICONS[each.verdict] ?? ["skip", ""];
  const hit = each.verdict === "matches";
  return h("li.verdict", { class: hit ? "hit" : null }, h("div.line", null, h("span", { class: tone }, icon(mark)), h("div.row", null, h("strong", null, each.rule), h("span.muted", null, each.verdict + (each.reason ? `: ${each.reason}` : "")))), each.condition ? tree(each.condition) : null, each.makes ? made(each.makes) : null);
}

function result({ explanation }) {
  const { calls, dead_letters: dead, dropped, unmatched } = explanation.result;
  const parts = [
    calls.length && `${calls.length} call${calls.length > 1 ? "s" : ""}`,
    dead.length && `${dead.length} dead letter${dead.length > 1 ? "s" : ""} (${dead.map((each) => each.reason).join(", ")})`,
    dropped.length && `dropped (${dropped.join(", ")})`,
    unmatched && !dead.length && "no rule matches: counted, and then forgotten",
  ].filter(Boolean);
  const text = parts.join("; ") || "a rule matches, and makes no call";
  return [h("h3", { id: "verdict", tabindex: "-1" }, `Result: ${text}`), h("ol.stack", null, explanation.rules.map(verdict))];
}

export function trial(names) {
  const answer = h("div.stack", { "aria-live": "polite" });
  const given = JSON.parse(sessionStorage.getItem("workflow-bridge-try") ?? "null");
  sessionStorage.removeItem("workflow-bridge-try");
  const source = select("source", names.map((name) => [name, name]), given?.source ?? names[0]);
  const message = h("textarea", { name: "message", spellcheck: "false", rows: "9" }, JSON.stringify(given?.message ?? EXAMPLE, null, 2));
  const go = h("button.primary", { type: "submit" }, "Try it");
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    message.classList.remove("bad-field");
    try {
      JSON.parse(message.value);
      fill(answer, result(await post("/try", `{"message": ${message.value}, "source": ${JSON.stringify(source.value)}}`)));
    } catch (error) {
      message.classList.add("bad-field");
      if (error instanceof SyntaxError) Object.assign(error, { advice: "The message is not JSON: mind the quotes and the commas." });
      fill(answer, fault(error));
    }
    go.disabled = false;
  };
  const form = h("form.stack", { onsubmit: submit }, field("Source", source), field("Message, as JSON", message), h("div.row", null, go, h("span.muted.small", null, "Nothing is sent, and nothing of it is kept.")));
  if (given) queueMicrotask(() => form.requestSubmit());
  return card("Try a message", h("div.grid.two", null, form, answer));
}

export async function show(main, { signal }) {
  const body = h("div.card");
  const draw = ({ rules }) => fill(body, table("Rules in the order of the file", COLUMNS, rules.map((each) => rule(each, Date.now(), act(each)))));
  const { may_act: mayAct } = await get("/overview", signal);
  const act = (each) => (mayAct && CALLS.includes(each.action) ? toggle({ kind: "rule", name: each.name }, each.paused, () => refresh(each.name)) : null);
  const refresh = async (changed) => {
    if (!changed && (body.contains(document.activeElement) || document.querySelector("dialog"))) return; // not under somebody's fingers
    draw(await get("/rules", signal));
    if (changed) body.querySelector(`button[aria-label$=" ${CSS.escape(changed)}"]`)?.focus();
  };
  const seen = await get("/rules", signal);
  draw(seen);
  fill(main, head("Rules", "Every rule that matches fires, in this order; a final one stops."), body, trial(seen.sources));
  const timer = setInterval(() => refresh().catch(() => {}), EVERY_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}
