// The instances of a workflow, by the API's own word, and what can be done to each.

import { get, part, post, query } from "../api.js";
import { fill, h, icon } from "../dom.js";
import { count, stamp } from "../format.js";
import { createSeveral } from "../several.js";
import { ask, badge, card, empty, facts, field, head, json, parsed, row, select, skeleton, table, toast, trouble } from "../parts.js";

const COLUMNS = [["Instance", "lead"], ["Status", ""], ["Created", ""], ["Started", ""], ["Ended", ""]];
const STATUSES = ["", "queued", "running", "paused", "waiting", "waitingForPause", "complete", "errored", "terminated"];
const TONES = { complete: "ok", running: "accent", waiting: "accent", queued: "", paused: "warn", waitingForPause: "warn", errored: "bad", terminated: "warn" };
const ENDED = ["complete", "errored", "terminated"];
const ACTS = {
  pause: { title: "Pause", text: "It stops before its next step, and goes on when it is resumed.", unless: [...ENDED, "paused", "waitingForPause"] },
  resume: { title: "Resume", text: "It goes on where it was paused.", only: ["paused", "waitingForPause"] },
  restart: { title: "Restart", text: "It begins again from its first step. What its steps did before is done again.", tone: "danger" },
  terminate: { title: "Terminate", text: "It ends now, and cannot be resumed. Steps that are done stay done.", tone: "danger", unless: ENDED },
};
const PER_PAGE = 25;

const place = (target, workflow) => `/targets/${part(target)}/workflows/${part(workflow)}/instances`;
const link = (...parts) => `#/instances/${parts.map(part).join("/")}`;
const status = (text) => badge(text, TONES[text] ?? "");

export async function show(main, { rest, given, signal }) {
  const known = await get("/workflows", signal);
  const { may_act: mayAct } = await get("/overview", signal);
  if (!known.targets.length) {
    fill(main, head("Instances"), h("section.card", null, empty("instances", "No target", "The configuration names no account of the Workflows API.")));
    return;
  }
  const [target, workflow, id] = rest;
  if (id) await one(main, { target, workflow, id, mayAct, signal });
  else await list(main, { known, target, workflow, given, mayAct, signal });
}

async function list(main, { known, target, workflow, given, mayAct, signal }) {
  const first = known.workflows[0] ?? { target: known.targets[0], workflow: "" };
  const chosen = { target: target ?? first.target, workflow: workflow ?? first.workflow, status: given.get("status") ?? "" };
  const body = h("div");
  const names = [...new Set(known.workflows.filter((each) => each.target === chosen.target).map((each) => each.workflow))];
  const go = (event) => {
    event?.preventDefault();
    const form = new FormData(filters);
    location.hash = `${link(form.get("target"), form.get("workflow").trim())}${query({ status: form.get("status") })}`;
  };
  const filters = h(
    "form.filters",
    { onsubmit: go, "aria-label": "Which instances" },
    field("Target", select("target", known.targets.map((name) => [name, name]), chosen.target)),
    field("Workflow", h("input", { name: "workflow", value: chosen.workflow, list: "workflows", required: true, spellcheck: "false", autocomplete: "off" })),
    h("datalist", { id: "workflows" }, names.map((name) => h("option", { value: name }))),
    field("Status", select("status", STATUSES.map((name) => [name, name || "any"]), chosen.status)),
    h("div.row", null, h("button.primary", { type: "submit" }, "Show")),
  );
  const several = () => createSeveral(chosen.workflow, place(chosen.target, chosen.workflow), () => page(body, chosen, null, signal));
  const acts = mayAct && chosen.workflow ? [h("button", { type: "button", onclick: () => create(chosen) }, "Create …"), h("button", { type: "button", onclick: several }, "Create several …")] : [];
  fill(main, head("Instances", "As the Workflows API has them. Each look is a request, and the budget counts it.", ...acts), h("section.card", null, h("div.card-body", null, filters)), h("section.card", null, body));
  if (!chosen.workflow) {
    fill(body, empty("instances", "Which workflow?", "Rules name none outright: write its name above."));
    return;
  }
  await page(body, chosen, null, signal);
}

async function page(body, chosen, cursor, signal) {
  fill(body, skeleton());
  let seen;
  try {
    seen = await get(place(chosen.target, chosen.workflow) + query({ status: chosen.status, cursor, per_page: PER_PAGE }), signal);
  } catch (error) {
    if (error.status === 401 || signal.aborted) throw error;
    fill(body, h("div.card-body", null, trouble(error, () => page(body, chosen, cursor, signal))));
    return;
  }
  if (!seen.instances.length) {
    fill(body, empty("instances", "No instances", chosen.status ? `None of ${chosen.workflow} is ${chosen.status}.` : `${chosen.workflow} has none, or they were forgotten after their retention.`));
    return;
  }
  const rows = seen.instances.map((each) => {
    const href = link(chosen.target, chosen.workflow, each.id);
    return row(COLUMNS, [h("a.strong", { href }, each.id), status(each.status), stamp(each.created_on), stamp(each.started_on), stamp(each.ended_on)], href);
  });
  const more = seen.cursor ? h("button", { type: "button", onclick: () => page(body, chosen, seen.cursor, signal) }, "Older ones") : null;
  const total = seen.total === null ? "" : `${count(seen.total)} in all`;
  fill(body, table(`Instances of ${chosen.workflow}`, COLUMNS, rows), h("div.card-body.row.between", null, h("span.muted.small", null, total), more));
}

async function one(main, { target, workflow, id, mayAct, signal }) {
  const url = `${place(target, workflow)}/${part(id)}`;
  const again = () => one(main, { target, workflow, id, mayAct, signal });
  const back = h("a.button", { href: link(target, workflow) }, icon("back", 18), workflow);
  let seen;
  try {
    seen = await get(url, signal);
  } catch (error) {
    if (error.status === 401 || signal.aborted) throw error;
    fill(main, head(id, `${workflow} at ${target}`, back), trouble(error, again));
    return;
  }
  const { raw } = seen;
  const actions = mayAct ? [...Object.keys(ACTS).filter((name) => may(ACTS[name], seen.status)).map((name) => act(name, url, id, again)), event(url, id, again)] : [];
  fill(
    main,
    head(id, `${workflow} at ${target}`, back, h("a.button", { href: `#/ledger${query({ instance: id })}` }, "Its messages"), h("button", { type: "button", onclick: again }, "Look again")),
    h("section.card", null, h("div.card-body.stack", null, h("div.row.between", null, h("div.row", null, h("h2", null, "Status"), status(seen.status)), h("div.row", null, actions)), facts([["Queued", stamp(raw.queued)], ["Started", stamp(raw.start)], ["Ended", stamp(raw.end)], raw.versionId ? ["Version", h("code", null, raw.versionId)] : null, raw.trigger?.source ? ["Triggered by", raw.trigger.source] : null], "wide"))),
    raw.error ? h("div.notice.critical", null, icon("critical"), h("strong", null, raw.error.name ?? "Error"), h("p", null, raw.error.message ?? JSON.stringify(raw.error))) : null,
    h("div.grid.two", null, card("Params", raw.params === null || raw.params === undefined ? h("p.muted", null, "None.") : json(raw.params)), card("Output", raw.output === null || raw.output === undefined ? h("p.muted", null, "None yet.") : json(raw.output))),
    card("Steps", steps(raw.steps)),
  );
}

const may = (known, now) => !(known.unless ?? []).includes(now) && (!known.only || known.only.includes(now));

function steps(all) {
  if (!all?.length) return h("p.muted", null, "None so far.");
  return h("ol.timeline", null, all.map((step) => {
    const tone = step.success === false || step.error ? "bad" : step.success === true || step.end ? "ok" : "warn";
    const times = [step.start && `from ${stamp(step.start)}`, step.end && `to ${stamp(step.end)}`].filter(Boolean).join(" ");
    return h("li", { class: tone }, h("div.row", null, h("strong.wrap", null, step.name ?? "step"), step.type ? badge(step.type) : null), h("div.muted.small", null, times), step.error ? h("p.fault", null, step.error.message ?? JSON.stringify(step.error)) : null, step.output !== undefined && step.output !== null ? json(step.output) : null);
  }));
}

function act(name, url, id, again) {
  const { title, text, tone } = ACTS[name];
  const sure = () => ask({
    title: `${title} ${id}?`,
    text,
    yes: title,
    tone: tone ?? "primary",
    act: async () => {
      const done = await post(`${url}/status`, { status: name });
      toast(`${id} is ${done.status}.`);
      await again();
    },
  });
  return h("button", { type: "button", class: tone ?? null, onclick: sure }, title);
}

function event(url, id, again) {
  const fields = () => [field("Type", h("input", { name: "type", required: true, spellcheck: "false", autocomplete: "off" })), field("Payload, as JSON", h("textarea", { name: "payload", spellcheck: "false", rows: "6" }, "{}"))];
  const open = () => ask({
    title: `Send an event to ${id}`,
    text: "It satisfies the next wait for this type. Events have no key: one that is sent twice counts twice.",
    fields: fields(),
    yes: "Send",
    act: async (form) => {
      await post(`${url}/events`, { type: form.get("type").trim(), payload: parsed(form.get("payload"), "The payload") });
      toast("The event is sent.");
      await again();
    },
  });
  return h("button", { type: "button", onclick: open }, "Send event …");
}

function create(chosen) {
  ask({
    title: "Create an instance",
    text: `Of ${chosen.workflow} at ${chosen.target}.`,
    fields: [field("Id", h("input", { name: "id", required: true, spellcheck: "false", autocomplete: "off" })), field("Params, as JSON", h("textarea", { name: "params", spellcheck: "false", rows: "6" }, "{}"))],
    yes: "Create",
    act: async (form) => {
      const id = form.get("id").trim();
      const params = form.get("params");
      parsed(params, "The params");
      // As it was written, so that no number is rounded.
      await post(place(chosen.target, chosen.workflow), `{"instances":[{"instance_id":${JSON.stringify(id)},"params":${params}}]}`);
      location.hash = link(chosen.target, chosen.workflow, id);
    },
  });
}
