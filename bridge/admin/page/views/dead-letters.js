// What could not be delivered: found, looked at, changed, sent again, let go.

import { get, part, post, query } from "../api.js";
import { bulk } from "../bulk.js";
import { fill, h, icon } from "../dom.js";
import { ago, count, plural, time } from "../format.js";
import { exportLetters, importLetters } from "../moving.js";
import { ask, badge, card, empty, facts, field, head, json, laid, parsed, row, select, skeleton, table, toast, trouble } from "../parts.js";

const COLUMNS = [["", "pick"], ["Letter", "lead"], ["Reason", ""], ["Rule", ""], ["Source", ""], ["Died", "nowrap"]];
const PER_PAGE = 50;
const MEANT = {
  undecodable: "The body is not what the source's decode says. Correct the message, or the source's decode.",
  render_error: "A template has no value for this message. Correct the rule or the message, then redrive the message.",
  rule_error: "A condition could not be computed. Correct the rule, then redrive the message.",
  too_large: "The message is larger than its source may give, and only its head is here; or the call is larger than the API takes.",
  rejected: "The API refuses this call for good. Correct the call, or the rule and redrive the message.",
  expired: "It was tried in vain for longer than give_up_after. Redrive it once its target is well.",
  unmatched: "No rule matches, and the source says dead-letter. Add a rule, then redrive the message.",
  no_identity: "The message has no id, and the rule makes none. Give the rule an id, then redrive the message.",
  killed_the_process: "The process died of it, several times. Look at the message before anything else.",
  instance_missing: "The instance did not appear in time. Redrive it once it exists.",
  workflow_missing: "The API does not know the workflow. Deploy it, then redrive.",
  rule: "A rule says that such messages are dead letters.",
};
const TOLD = { redriven: "sent again", dead: "a new dead letter", dropped: "dropped by a rule", discarded: "discarded", released: "released", edited: "changed", refused: "refused", gone: "not there any more" };

export async function show(main, { rest, given, signal }) {
  const { may_act: mayAct } = await get("/overview", signal);
  if (rest[0]) await one(main, { number: rest[0], mayAct, signal });
  else await list(main, { given, mayAct, signal });
}

// --- the list ---

async function list(main, { given, mayAct, signal }) {
  const chosen = Object.fromEntries(["reason", "rule", "source", "text"].map((name) => [name, given.get(name) ?? ""]));
  const body = h("section.card", { "aria-label": "Dead letters" }, skeleton());
  const filters = h("section.card");
  const tools = h("div.row");
  fill(main, head("Dead letters", "What could not be delivered, with its message, its reason and what was tried.", tools), filters, body);
  const again = () => page(body, chosen, null, { mayAct, signal, again, tools });
  await again();
  // After the first rows are there: counting goes through all letters.
  const { kinds } = await get("/dead-letters/kinds", signal);
  fill(filters, h("div.card-body", null, filter(chosen, kinds)));
}

function filter(chosen, kinds) {
  const totals = (name) => {
    const found = {};
    for (const kind of kinds) found[kind[name]] = (found[kind[name]] ?? 0) + kind.count;
    const some = Object.entries(found).filter(([each]) => each).map(([each, many]) => [each, `${each} (${count(many)})`]);
    if (chosen[name] && !found[chosen[name]]) some.push([chosen[name], chosen[name]]);
    return [["", "any"], ...some];
  };
  const go = (event) => {
    event.preventDefault();
    location.hash = `#/dead-letters${query(Object.fromEntries(new FormData(event.currentTarget)))}`;
  };
  const narrowed = Object.values(chosen).some(Boolean);
  return h(
    "form.filters",
    { onsubmit: go, role: "search", "aria-label": "Which dead letters" },
    field("Reason", select("reason", totals("reason"), chosen.reason)),
    field("Rule", select("rule", totals("rule"), chosen.rule)),
    field("Source", select("source", totals("source"), chosen.source)),
    field("Text or id", h("input", { name: "text", type: "search", value: chosen.text, spellcheck: "false", autocomplete: "off" })),
    h("div.row", null, h("button.primary", { type: "submit" }, "Find"), narrowed ? h("a.button", { href: "#/dead-letters" }, "All") : null),
  );
}

async function page(body, chosen, before, { mayAct, signal, again, tools }) {
  let seen;
  try {
    seen = await get(`/dead-letters${query({ ...chosen, before, limit: PER_PAGE })}`, signal);
  } catch (error) {
    if (error.status === 401 || signal.aborted) throw error;
    fill(body, error.code === "no_letters" ? empty("letters", error.message, error.advice) : h("div.card-body", null, trouble(error, again)));
    return;
  }
  fill(tools, seen.letters.length ? button("Export …", () => exportLetters(chosen).catch((error) => fill(body, h("div.card-body", null, trouble(error, again))))) : null, mayAct ? button("Import …", () => importLetters(again)) : null);
  if (!seen.letters.length) {
    fill(body, seen.total ? empty("letters", "None like that", `${plural(seen.total, "letter")} of other kinds.`) : empty("fine", "No dead letters", "Everything that came was delivered, dropped on purpose, or is still on its way."));
    return;
  }
  const picked = new Set();
  const rows = seen.letters.map((each) => letter(each, mayAct ? picked : null, () => acting()));
  const acts = h("div.row");
  const acting = () => {
    const many = picked.size;
    for (const button of acts.children) button.disabled = !many;
    acts.dataset.many = many;
    words.textContent = many ? `${plural(many, "letter")} chosen` : `${count(seen.total)} kept`;
  };
  const words = h("span.muted.small.num", { role: "status" });
  const all = mayAct ? h("label.check.small", null, h("input", { type: "checkbox", onchange: (event) => pickAll(body, event.currentTarget.checked) }), "All of this page") : null;
  if (mayAct) fill(acts, button("Redrive …", () => redrive([...picked], again)), button("Discard …", () => discard([...picked], again), "danger"));
  const older = seen.next === null ? null : h("button", { type: "button", onclick: () => page(body, chosen, seen.next, { mayAct, signal, again, tools }) }, "Older ones");
  const whole = mayAct && seen.total > 1 ? [button("Redrive all that match …", () => redriveAll(chosen, again), "quiet"), button("Discard all …", () => discardAll(chosen, again), "quiet")] : null;
  fill(body, h("div.card-head", null, h("div.row", null, all, words), h("div.row", null, whole, acts)), table("Dead letters, the newest first", mayAct ? COLUMNS : COLUMNS.slice(1), rows), before || older ? h("div.card-body.row.between", null, before ? h("button", { type: "button", onclick: again }, "Newest") : h("span"), older) : null);
  acting();
}

const button = (title, onclick, tone) => h("button", { type: "button", class: tone ?? null, onclick }, title);

function pickAll(body, on) {
  for (const box of body.querySelectorAll("tbody input[type=checkbox]")) {
    if (box.checked !== on) box.click();
  }
}

function letter(each, picked, changed) {
  const href = `#/dead-letters/${each.number}`;
  const what = each.operation ? `${each.operation} ${each.workflow} / ${each.instance_id}` : each.message_id;
  const cells = [
    h("div", null, h("a.strong", { href }, what), h("div.sub.clip", null, each.detail)),
    h("div.row", null, badge(each.reason, "bad"), each.redriven ? badge(`redriven ${each.redriven}×`, "warn") : null),
    each.rule || h("span.muted", null, "none"),
    each.source,
    h("span", { title: time(each.died_ms) }, ago(each.died_ms, Date.now())),
  ];
  if (!picked) return row(COLUMNS.slice(1), cells, href);
  const box = h("input", {
    type: "checkbox",
    "aria-label": `Choose ${what}`,
    onchange: (event) => {
      (event.currentTarget.checked ? picked.add(each.number) : picked.delete(each.number));
      changed();
    },
  });
  return row(COLUMNS, [box, ...cells], href);
}

// --- one ---

async function one(main, { number, mayAct, signal }) {
  const again = () => one(main, { number, mayAct, signal });
  const back = h("a.button", { href: "#/dead-letters" }, icon("back", 18), "All of them");
  let seen;
  try {
    seen = await get(`/dead-letters/${part(number)}`, signal);
  } catch (error) {
    if (error.status === 401 || signal.aborted) throw error;
    fill(main, head(`Dead letter ${number}`, null, back), error.status === 404 ? h("section.card", null, empty("letters", error.message, error.advice)) : trouble(error, again));
    return;
  }
  const { letter: it, redacted, blocks_lane: blocks } = seen;
  const acts = mayAct ? actions(it, blocks, again) : [];
  fill(
    main,
    head(`Dead letter ${it.number}`, `Died ${time(it.died_ms)}`, back),
    h("div.notice.critical", null, icon("critical"), h("strong", null, it.reason), h("p.detail.wrap", null, it.detail), MEANT[it.reason] ? h("p.muted", null, MEANT[it.reason]) : null),
    blocks ? h("div.notice.warning", null, icon("warning"), h("strong", null, "It blocks its lane"), h("p", null, "What comes after it in its lane waits until it is redriven, released or discarded.")) : null,
    redacted ? h("div.notice.info", null, icon("info"), h("strong", null, "Parts are redacted"), h("p", null, "By the configuration's redact. An edit keeps them as they are.")) : null,
    acts.length ? h("div.row", null, acts) : null,
    h("div.grid.two", null, card("Message", message(it.message)), h("div.stack", null, it.call ? card("Call that was not delivered", call(it.call)) : null, card("What was tried", tried(it)))),
  );
}

function message(it) {
  const attributes = Object.entries(it.attributes).map(([name, value]) => [name, String(value)]);
  return h(
    "div.stack",
    null,
    facts([["Source", it.source], ["Id", it.id], ["Channel", it.channel], ["Key", shown(it.key)], ["Time", time(it.timestamp_ms)], ...attributes], "wide"),
    it.headers.length ? h("div", null, h("h3", null, "Headers"), h("dl.facts.wide", null, it.headers.map((each) => h("div", null, h("dt", null, each.name), h("dd.mono", null, shown(each)))))) : null,
    h("h3", null, "Body"),
    it.body === null ? h("p.muted", null, "None: a tombstone.") : json(shown(it.body)),
    it.body?.text !== undefined && it.body.text !== "[redacted]" ? h("div.row", null, h("a.button", { href: `#/ledger${query({ message: it.id })}` }, "What became of it"), h("button.quiet", { type: "button", onclick: () => tryIt(it) }, "See what today's rules make of it")) : null,
  );
}

function tryIt(it) {
  sessionStorage.setItem("workflow-bridge-try", JSON.stringify({ source: it.source, message: { id: it.id, channel: it.channel, headers: it.headers, body: it.body.text } }));
  location.hash = "#/rules";
}

const shown = (value) => (value === null ? "–" : value.text ?? (value.base64 === undefined ? String(value.value) : `${value.base64} (base64)`));

function call(it) {
  return h("div.stack", null, facts([["Operation", it.operation], ["Target", it.target], ["Workflow", it.workflow], ["Instance", it.instance_id], it.event_type ? ["Event type", it.event_type] : null, ["Lane", it.lane || `${it.workflow}/${it.instance_id}`]], "wide"), json(shown(it.body)), it.then ? [h("h3", null, "Then"), json(shown(it.then))] : null);
}

function tried(it) {
  if (!it.history.length) return h("p.muted", null, it.call ? "Nothing is kept of its attempts." : "No call was made: it did not get so far.");
  const rows = it.history.map((each) => h("li.bad", null, h("div.row", null, h("strong", null, each.reason), each.code ? badge(`code ${each.code}`) : null), h("div.muted.small", null, time(each.at_ms)), h("p.wrap", null, each.detail)));
  return h("div.stack", null, h("p.muted", null, `${plural(it.attempts, "attempt")}${it.redriven ? `, redriven ${it.redriven} times before` : ""}`), h("ol.timeline", null, rows));
}

function actions(it, blocks, again) {
  const gone = () => (location.hash = "#/dead-letters");
  const numbers = [it.number];
  return [
    h("button.primary", { type: "button", onclick: () => redrive(numbers, gone, it) }, "Redrive …"),
    it.call ? button("Edit the call …", () => edit(it, "call", again, gone)) : null,
    it.message.body?.text === undefined ? null : button("Edit the message …", () => edit(it, "message", again, gone)),
    blocks ? button("Release its lane …", () => release(it, again)) : null,
    button("Discard …", () => discard(numbers, gone), "danger"),
  ].filter(Boolean);
}

// --- what is done ---

function outcome(done) {
  const counts = {};
  for (const each of done) counts[each.outcome] = (counts[each.outcome] ?? 0) + 1;
  return Object.entries(counts).map(([name, many]) => `${count(many)} ${TOLD[name] ?? name}`).join(", ");
}

function told(done) {
  const failed = done.filter((each) => each.outcome === "refused");
  if (failed.length && failed.length === done.length) throw Object.assign(new Error(failed[0].detail), { advice: failed.length > 1 ? `So are ${failed.length - 1} more.` : "The letter stays." });
  toast(`${outcome(done)}.`);
}

const HOW = [
  ["auto", "As it is: its call, or its message where there is none"],
  ["message", "Its message, by today's version of its rule"],
  ["all-rules", "Its message, by all of today's rules"],
  ["call", "Its call"],
];

function redrive(numbers, after, it) {
  const how = it && !it.call ? HOW.filter(([name]) => name !== "call") : HOW;
  ask({
    title: `Redrive ${plural(numbers.length, "dead letter")}?`,
    text: "What is sent again leaves the dead letters; what dies again comes back as a new one.",
    fields: [field("What is sent", select("how", how, "auto")), h("label.check", null, h("input", { type: "checkbox", name: "force" }), "Also if it was redriven three times before")],
    yes: "Redrive",
    act: async (form) => {
      const { done } = await post("/dead-letters/redrive", { numbers, how: form.get("how"), force: form.get("force") !== null });
      told(done);
      await after();
    },
  });
}

function discard(numbers, after) {
  ask({
    title: `Discard ${plural(numbers.length, "dead letter")}?`,
    text: "Their messages are deleted with them, for good. Export them first where you may want them again.",
    yes: "Discard",
    tone: "danger",
    act: async () => {
      const { done } = await post("/dead-letters/discard", { numbers });
      told(done);
      await after();
    },
  });
}

function redriveAll(chosen, after) {
  return bulk({
    title: (many) => `Redrive ${many}?`,
    text: "All that match, as they are now. What is sent again leaves the dead letters; what dies again comes back as a new one. Closing this stops after the letters under way.",
    yes: "Redrive all",
    extra: [field("What is sent", select("how", HOW, "auto"))],
    send: async (numbers, form) => (await post("/dead-letters/redrive", { numbers, how: form.get("how"), force: false })).done,
    chosen,
    after,
  });
}

function discardAll(chosen, after) {
  return bulk({
    title: (many) => `Discard ${many}?`,
    text: "All that match, as they are now; their messages are deleted with them, for good. Export them first where you may want them again.",
    yes: "Discard all",
    tone: "danger",
    send: async (numbers) => (await post("/dead-letters/discard", { numbers })).done,
    chosen,
    after,
  });
}

function release(it, after) {
  ask({
    title: "Release its lane?",
    text: "What waits behind it goes on without it; the letter stays.",
    yes: "Release",
    act: async () => {
      const { done } = await post(`/dead-letters/${it.number}/release`);
      told(done);
      await after();
    },
  });
}

// The body of its call or message as text; saved, and sent again at once where that is wanted.
function edit(it, what, again, gone) {
  const before = laid(it[what].body.text);
  const text = h("textarea", { name: "body", spellcheck: "false", rows: "14", value: before });
  const dialog = ask({
    title: what === "call" ? "Edit the call" : "Edit the message",
    text: what === "call" ? "The body as it is sent. The message stays as it came." : "The body as the rules see it. A call that was made of it stays as it is: redrive the message to have it made anew.",
    fields: [field("Body", text), h("label.check", null, h("input", { type: "checkbox", name: "again", checked: true }), "Redrive it at once")],
    yes: "Save",
    act: async (form) => {
      const body = form.get("body");
      const changed = { body: { text: body } };
      if (what === "call") {
        const value = parsed(body, "The body");
        if (it.call.operation === "create" && value?.instance_id) changed.instance_id = value.instance_id;
      }
      if (body !== before) told((await post(`/dead-letters/${it.number}/edit`, { edited: { [what]: changed } })).done);
      if (form.get("again") === null) return again();
      const { done } = await post("/dead-letters/redrive", { numbers: [it.number], how: what, force: false });
      told(done);
      return gone();
    },
  });
  dialog.classList.add("large");
}
