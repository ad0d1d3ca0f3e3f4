// What moves, heard once and told to whoever is on the page.

import { stream, token } from "./api.js";

const ears = new Set();
let state = "waiting";
let last = null;
let running = null;

export function listen(ear) {
  ears.add(ear);
  if (last) ear(last, state);
  return () => ears.delete(ear);
}

function tell(numbers, now) {
  state = now;
  if (numbers) last = numbers;
  for (const ear of ears) ear(last, state);
}

export function start() {
  running?.abort();
  running = new AbortController();
  run(running.signal);
}

async function run(signal) {
  let wait = 500;
  while (!signal.aborted) {
    try {
      await stream("/live", (numbers) => {
        wait = 500;
        tell(numbers, "live");
      }, signal);
    } catch (error) {
      if (signal.aborted) return;
      tell(null, error.status === 401 ? "refused" : "lost");
      if (error.status === 401 && !token.get()) return;
      wait = Math.min(wait * 2, 8000);
    }
    await new Promise((go) => setTimeout(go, wait));
  }
}
