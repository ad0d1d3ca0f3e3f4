// Asks the admin API. A refusal is a Trouble with what is wrong and what to do.

const KEY = "workflow-bridge-token";
let onRefused = () => {};

export class Trouble extends Error {
  constructor(status, code, problem, advice) {
    super(problem);
    this.status = status;
    this.code = code;
    this.advice = advice;
  }
}

// For this tab alone, and gone with it.
export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => sessionStorage.setItem(KEY, text),
  clear: () => sessionStorage.removeItem(KEY),
};

export function whenRefused(act) {
  onRefused = act;
}

function headers(more) {
  const said = token.get();
  return said ? { ...more, authorization: `Bearer ${said}` } : more;
}

async function asked(path, options) {
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, { ...options, headers: headers(options.headers ?? {}), cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(0, "unreachable", "The bridge does not answer.", "Is it running, and is the port-forward still open? This page goes on as soon as it answers.");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  const { code = "unknown", problem = `HTTP ${answer.status}`, advice = "Look at the bridge's log." } = told?.error ?? {};
  const trouble = new Trouble(answer.status, code, problem, advice);
  if (answer.status === 401) onRefused(trouble);
  throw trouble;
}

export const get = async (path, signal) => (await asked(path, { signal })).json();

export async function post(path, body = {}, method = "POST") {
  const options = { method, headers: { "content-type": "application/json" }, body: typeof body === "string" ? body : JSON.stringify(body) };
  return (await asked(path, options)).json();
}

export const part = encodeURIComponent;

export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

// Server-sent events by fetch, because EventSource cannot send a token. Calls `heard` with each event's data.
export async function stream(path, heard, signal) {
  const answer = await asked(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      const line = event.split("\n").find((each) => each.startsWith("data: "));
      if (line) heard(JSON.parse(line.slice(6)));
    }
  }
}
