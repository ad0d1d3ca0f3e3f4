// What became of a message, and which message started an instance.

import { get, part, query } from "../api.js";
import { fill, h } from "../dom.js";
import { duration, time } from "../format.js";
import { badge, empty, field, head, row, select, skeleton, table, trouble } from "../parts.js";

const COLUMNS = [["Message", "lead"], ["Rule", ""], ["Call", "call"], ["Outcome", ""], ["Attempts", "right"], ["Took", "right nowrap"], ["Settled", "nowrap"]];
const SINCE = [["", "all that is kept"], ["900", "15 minutes"], ["3600", "an hour"], ["86400", "a day"], ["604800", "a week"]];
const PER_PAGE = 50;

export async function show(main, { given, signal }) {
  const chosen = Object.fromEntries(["message", "instance", "rule", "outcome", "since"].map((name) => [name, given.get(name) ?? ""]));
  const body = h("section.card", { "aria-label": "The ledger" }, skeleton());
  const filters = h("section.card");
  fill(main, head("Ledger", "What became of a message, and which message started an instance."), filters, body);
  const { rules } = await get("/rules", signal);
  fill(filters, h("div.card-body", null, filter(chosen, rules.map((each) => each.name))));
  await page(body, chosen, null, signal);
}

function filter(chosen, rules) {
  const names = chosen.rule && !rules.includes(chosen.rule) ? [...rules, chosen.rule] : rules;
  const text = (name) => h("input", { name, type: "search", value: chosen[name], spellcheck: "false", autocomplete: "off" });
  const go = (event) => {
    event.preventDefault();
    location.hash = `#/ledger${query(Object.fromEntries([...new FormData(event.currentTarget)].map(([name, value]) => [name, value.trim()])))}`;
  };
  const narrowed = Object.values(chosen).some(Boolean);
  return h(
    "form.filters",
    { onsubmit: go, role: "search", "aria-label": "Which rows of the ledger" },
    field("Message, its whole id", text("message")),
    field("Instance, its whole id", text("instance")),
    field("Rule", select("rule", [["", "any"], ...names.map((name) => [name, name])], chosen.rule)),
    field("Outcome", select("outcome", [["", "any"], ["delivered", "delivered"], ["dead", "dead"], ["dropped", "dropped by a rule"], ["errored", "instance errored"]], chosen.outcome)),
    field("Within", select("since", SINCE, chosen.since)),
    h("div.row", null, h("button.primary", { type: "submit" }, "Find"), narrowed ? h("a.button", { href: "#/ledger" }, "All") : null),
  );
}

async function page(body, { since, ...chosen }, before, signal) {
  const again = () => page(body, { since, ...chosen }, before, signal);
  const sinceMs = since ? Date.now() - Number(since) * 1000 : "";
  let seen;
  try {
    seen = await get(`/ledger${query({ ...chosen, since_ms: sinceMs && Math.round(sinceMs), before, limit: PER_PAGE })}`, signal);
  } catch (error) {
    if (error.status === 401 || signal.aborted) throw error;
    fill(body, error.code === "no_ledger" ? empty("ledger", error.message, error.advice) : h("div.card-body", null, trouble(error, again)));
    return;
  }
  if (!seen.rows.length) {
    fill(body, nothing(seen, before || since || Object.values(chosen).some(Boolean)));
    return;
  }
  const older = seen.next === null ? null : h("button", { type: "button", onclick: () => page(body, { since, ...chosen }, seen.next, signal) }, "Older ones");
  const newest = before ? h("button", { type: "button", onclick: () => page(body, { since, ...chosen }, null, signal) }, "Newest") : h("span.muted.small", null, `Known for ${duration(seen.keep_seconds)}`);
  fill(body, table("What became of messages, the last first", COLUMNS, seen.rows.map(entry)), h("div.card-body.row.between", null, newest, older));
}

function nothing({ keep_seconds: keep }, narrowed) {
  if (keep === null) return empty("ledger", "The ledger is off", "Set ledger.keep in the configuration, such as 7d, to know what became of messages.");
  if (!narrowed) return empty("ledger", "Nothing settled yet", "Each call that is delivered, or dies, is written here with its message.");
  return empty("ledger", "Nothing like that", `It is not settled yet, no rule matched it, or it is longer ago than it is kept, ${duration(keep)}. Ids are matched whole.`);
}

function entry(each) {
  const id = each.made || each.instance_id;
  const href = each.workflow ? `#/instances/${[each.target, each.workflow, id].map(part).join("/")}` : null;
  const call = href
    ? h("div", null, badge(each.operation, "accent"), " ", h("a.strong", { href }, `${each.workflow} / ${id}`), each.event_type ? h("div.sub", null, `event ${each.event_type}`) : null, each.made ? h("div.sub", null, `instead of ${each.instance_id}`) : null)
    : h("span.muted", null, "none");
  const dead = each.outcome === "dead";
  const dropped = each.outcome === "dropped" && !href;
  const outcome = h("div.row", null, dropped ? [badge("dropped"), h("span.small.wrap", null, each.reason)] : badge(each.reason || each.outcome, dead || each.outcome === "errored" ? "bad" : "ok"), each.code ? badge(`code ${each.code}`) : null, dead ? h("a.small", { href: `#/dead-letters${query({ text: each.message_id })}` }, "letter") : null);
  return row(COLUMNS, [
    h("div", null, h("a.strong", { href: `#/ledger${query({ message: each.message_id })}` }, each.message_id), h("div.sub", null, each.source)),
    each.rule || h("span.muted", null, "none"),
    call,
    outcome,
    String(each.attempts),
    duration((each.settled_ms - each.arrived_ms) / 1000),
    h("span", { title: `configuration ${each.config}` }, time(each.settled_ms)),
  ]);
}
