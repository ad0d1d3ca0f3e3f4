// The production paths of Cloudflare's Workflows API over Workflow bindings.
//
// What runs here is the caller's own Worker: no quota of the REST API stands between it and the engine. What the
// binding does not have (the list of instances, the params of one) is kept in the Registry, a Durable Object, if there
// is one. See README.md for what differs from the REST API.
import { DurableObject } from "cloudflare:workers";

const PATH = /^\/client\/v4\/accounts\/([^/]+)\/workflows\/([^/]+)\/instances(?:\/(.+))?$/;
const NAME = /^[a-zA-Z0-9_][a-zA-Z0-9_-]{0,99}$/;
const RESERVED = /^(?:cf_[0-9a-f]{64}|batch|terminate|terminateAll)$/;
const RETENTION = /^\d+\s+(?:second|minute|hour|day|week|month|year)s?$/;
const STATUSES = [
  "queued", "running", "paused", "errored", "terminated", "complete", "waitingForPause", "waiting", "rollingBack",
];
const CHANGES = ["pause", "resume", "terminate", "restart"];
const MAX_PAYLOAD_BYTES = 1 << 20;
const MAX_BATCH = 100;
const MAX_PER_PAGE = 100;

const REFUSALS = {
  header: { status: 400, code: 6003, message: "Invalid request headers" },
  token: { status: 403, code: 10000, message: "Authentication error" },
  route: { status: 404, code: 7003, message: "Could not route to the given path, perhaps your object identifier is invalid?" },
  body: { status: 400, code: 10002, message: "workflows.api.error.body" },
  workflow: { status: 404, code: 10200, message: "workflows.api.error.workflow.not_found" },
  instance: { status: 404, code: 10400, message: "workflows.api.error.instance.not_found" },
  ended: { status: 409, code: 10401, message: "workflows.api.error.instance.cannot_terminate" },
  exists: { status: 400, code: 10405, message: "workflows.api.error.instance.already_exists" },
  internal: { status: 500, code: 10001, message: "workflows.api.error.internal_server" },
  noList: { status: 501, code: 0, message: "this gateway keeps no list: give it a REGISTRY binding" },
};

// The binding says what went wrong by the text of its error. Tried in order.
const BINDING_ERRORS = [
  [/instance\.already_exists/, "exists"],
  [/instance\.not_found/, "instance"],
  [/instance\.cannot_terminate/, "ended"],
  [/instance\.cannot_restart/, "body"],
  [/invalid id|invalid_id|\(body\)|batchCreate/i, "body"],
];

class Refused extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

function refuse(kind) {
  throw new Refused(kind);
}

function success(result, info) {
  return Response.json({ success: true, errors: [], messages: [], result, ...(info && { result_info: info }) });
}

function failure(error) {
  const text = String(error?.message);
  const kind = error instanceof Refused ? error.kind : (BINDING_ERRORS.find(([form]) => form.test(text))?.[1] ?? "internal");
  if (kind === "internal") console.error("the engine failed:", text);
  const { status, code, message } = REFUSALS[kind];
  return Response.json({ success: false, errors: [{ code, message }], messages: [], result: null }, { status });
}

// Instances in the order in which this gateway created them, one object per workflow. It is written after the engine
// has created them: a crash between the two leaves an instance that can be got and is not listed.
export class Registry extends DurableObject {
  constructor(state, env) {
    super(state, env);
    this.sql = state.storage.sql;
    this.sql.exec(`CREATE TABLE IF NOT EXISTS instance
      (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created_on TEXT NOT NULL, params TEXT NOT NULL)`);
  }

  // An id that is used again, its retention being past, belongs to the new instance.
  add(rows, createdOn) {
    for (const { id, params } of rows) {
      this.sql.exec("INSERT OR REPLACE INTO instance (id, created_on, params) VALUES (?, ?, ?)", id, createdOn, params);
    }
  }

  get(id) {
    return this.sql.exec("SELECT created_on, params FROM instance WHERE id = ?", id).toArray()[0] ?? null;
  }

  // Rows behind number `after`, and how many there are in all; `from` and `to` bound the time of creation.
  page({ after, limit, newestFirst, from, to }) {
    const [sign, order] = newestFirst ? ["<", "DESC"] : [">", "ASC"];
    const start = after ?? (newestFirst ? Number.MAX_SAFE_INTEGER : 0);
    const within = "created_on >= ? AND created_on <= ?";
    const query = `SELECT number, id, created_on FROM instance WHERE number ${sign} ? AND ${within}
      ORDER BY number ${order} LIMIT ?`;
    return {
      rows: this.sql.exec(query, start, from, to, limit).toArray(),
      total: this.sql.exec(`SELECT count(*) AS count FROM instance WHERE ${within}`, from, to).one().count,
    };
  }
}

function sameText(left, right) {
  const [a, b] = [left, right].map((text) => new TextEncoder().encode(text));
  return a.byteLength === b.byteLength && crypto.subtle.timingSafeEqual(a, b);
}

function checkToken(request, env) {
  const token = request.headers.get("authorization")?.match(/^Bearer (\S+)$/i)?.[1] ?? refuse("header");
  if (!env.TOKEN || !sameText(token, env.TOKEN)) refuse("token");
}

// The binding has no ids of workflows and versions: a UUID made of the name stands for them.
async function stableId(text) {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(text));
  const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), `5${hex.slice(13, 16)}`, `a${hex.slice(17, 20)}`, hex.slice(20, 32)].join("-");
}

// One workflow of this gateway: its binding, its registry, and what all its answers repeat.
async function openWorkflow(env, name) {
  const binding = env[Object.hasOwn(env.WORKFLOWS ?? {}, name) ? env.WORKFLOWS[name] : ""] ?? refuse("workflow");
  const registry = env.REGISTRY?.get(env.REGISTRY.idFromName(name)) ?? null;
  return { binding, registry, ids: { version_id: await stableId(`${name}/1`), workflow_id: await stableId(name) } };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return refuse("body");
  }
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function tooLarge(text) {
  return new TextEncoder().encode(text).byteLength > MAX_PAYLOAD_BYTES;
}

// What the API would refuse, the binding may take: ids, sizes and retentions are checked here.
function creation(item) {
  if (!isObject(item)) refuse("body");
  const { instance_id: id = crypto.randomUUID(), params = {}, instance_retention: retention } = item;
  if (typeof id !== "string" || !NAME.test(id) || RESERVED.test(id)) refuse("body");
  const text = JSON.stringify(params);
  if (tooLarge(text)) refuse("body");
  if (retention !== undefined && retention !== null && !isObject(retention)) refuse("body");
  for (const value of Object.values(retention ?? {})) {
    if (!Number.isInteger(value) && !RETENTION.test(value)) refuse("body");
  }
  const kept = retention && { successRetention: retention.success_retention, errorRetention: retention.error_retention };
  return { options: { id, params, ...(kept && { retention: kept }) }, row: { id, params: text } };
}

function created(id, workflow) {
  return { id, status: "queued", ...workflow.ids, trigger_source: "api" };
}

async function create({ open, text }) {
  const { options, row } = creation(parse(text));
  const workflow = await open();
  const instance = await workflow.binding.create(options);
  await workflow.registry?.add([row], new Date().toISOString());
  return success(created(instance.id, workflow));
}

async function createBatch({ open, text }) {
  const items = parse(text);
  if (!Array.isArray(items) || items.length < 1 || items.length > MAX_BATCH) refuse("body");
  const creations = items.map(creation);
  const workflow = await open();
  // Leaves used and repeated ids out of its answer.
  const instances = await workflow.binding.createBatch(creations.map(({ options }) => options));
  const made = new Set(instances.map(({ id }) => id));
  await workflow.registry?.add(creations.map(({ row }) => row).filter(({ id }) => made.has(id)), new Date().toISOString());
  return success(instances.map(({ id }) => created(id, workflow)));
}

// What a list is asked for. Times are text in the form of toISOString, which sorts as time does.
function listQuery(query) {
  const size = Number(query.get("per_page") ?? 50);
  const after = query.has("cursor") ? Number(query.get("cursor")) : undefined;
  const status = query.get("status");
  if (!(Number.isInteger(size) && size >= 1 && size <= MAX_PER_PAGE) || Number.isNaN(after)) refuse("body");
  if ((status !== null && !STATUSES.includes(status)) || (query.has("page") && query.has("cursor"))) refuse("body");
  const [from, to] = [query.get("date_start") ?? "", query.get("date_end") ?? "~"];
  return { size, status, rows: { after, limit: size + 1, newestFirst: query.get("direction") !== "asc", from, to } };
}

// null: the engine does not keep it any more, or does not show it yet.
async function statusOf(binding, id) {
  try {
    return (await (await binding.get(id)).status()).status;
  } catch (error) {
    if (/instance\.not_found/.test(error?.message)) return null;
    throw error;
  }
}

// A status is asked of the engine row by row, so `status` narrows the page, not the list.
async function listInstances({ open, query }) {
  const { size, status: wanted, rows: bounds } = listQuery(query);
  const { binding, registry, ids } = await open();
  if (registry === null) refuse("noList");
  const { rows, total } = await registry.page(bounds);
  const page = rows.slice(0, size);
  const statuses = await Promise.all(page.map(({ id }) => statusOf(binding, id)));
  const result = page
    .map(({ id, created_on: at }, place) => ({
      id, status: statuses[place], created_on: at, modified_on: at, started_on: at, ended_on: null, ...ids, trigger_source: "api",
    }))
    .filter(({ status }) => status !== null && (wanted === null || status === wanted));
  const more = rows.length > size && { cursor: String(page.at(-1).number) };
  return success(result, { count: result.length, per_page: size, total_count: total, ...more });
}

async function getInstance({ open, parts, query }) {
  const { binding, registry, ids } = await open();
  const instance = await binding.get(parts[0]);
  const { status, error, output } = await instance.status();
  const row = await registry?.get(parts[0]);
  return success({
    status,
    params: row ? JSON.parse(row.params) : null,
    trigger: { source: "api" },
    versionId: ids.version_id,
    queued: row?.created_on ?? null,
    start: row?.created_on ?? null,
    end: null,
    success: status === "complete" ? true : status === "errored" ? false : null,
    error: error ?? null,
    output: output === null || output === undefined ? null : JSON.stringify(output),
    rollback: null,
    step_count: 0,
    ...(query.get("simple") !== "true" && { steps: [] }),
  });
}

async function changeStatus({ open, parts, text }) {
  const body = parse(text);
  if (!CHANGES.includes(body?.status) || ("rollback" in body && body.status !== "terminate")) refuse("body");
  if ("from" in body && (body.status !== "restart" || !isObject(body.from))) refuse("body");
  const { binding } = await open();
  const instance = await binding.get(parts[0]);
  const options = { ...("from" in body && { from: body.from }), ...("rollback" in body && { rollback: body.rollback }) };
  await instance[body.status](Object.keys(options).length ? options : undefined);
  return success({ status: (await instance.status()).status, timestamp: new Date().toISOString() });
}

async function sendEvent({ open, parts, text }) {
  const [id, , type] = parts;
  const payload = parse(text);
  if (!NAME.test(type) || tooLarge(text)) refuse("body");
  const { binding } = await open();
  await (await binding.get(id)).sendEvent({ type, payload });
  return success({ instanceId: id, timestamp: new Date().toISOString() });
}

function endpoint(method, parts) {
  if (parts.length === 0) return { GET: listInstances, POST: create }[method];
  if (parts.length === 1) return parts[0] === "batch" ? { POST: createBatch }[method] : { GET: getInstance }[method];
  if (parts.length === 2 && parts[1] === "status") return { PATCH: changeStatus }[method];
  if (parts.length === 3 && parts[1] === "events") return { POST: sendEvent }[method];
  return undefined;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return refuse("route");
  }
}

async function answer(request, env) {
  const url = new URL(request.url);
  if (url.pathname === "/ready") return new Response("ok");
  checkToken(request, env);
  const [, account, name, rest] = url.pathname.match(PATH) ?? refuse("route");
  if (decode(account) !== env.ACCOUNT) refuse("route");
  const parts = rest === undefined ? [] : rest.split("/").map(decode);
  const call = endpoint(request.method, parts) ?? refuse("route");
  // A body that cannot be read is refused before the workflow is looked up, as the API does: hence ``open``.
  return await call({
    open: () => openWorkflow(env, decode(name)),
    parts,
    query: url.searchParams,
    text: await request.text(),
  });
}

export default {
  async fetch(request, env) {
    try {
      return await answer(request, env);
    } catch (error) {
      return failure(error);
    }
  },
};
