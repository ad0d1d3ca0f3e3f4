// How much the bridge's log says.

import { get, post } from "./api.js";
import { timeOf } from "./format.js";
import { ask, field, select, toast } from "./parts.js";

const LEVELS = { debug: "debug: everything, the libraries too", info: "info", warning: "warning", error: "error: the fewest lines" };
const SPANS = [["600", "for ten minutes"], ["3600", "for an hour"], ["", "until somebody says otherwise, or a restart"]];

export async function logLevel(after) {
  const now = await get("/log-level");
  const levels = [["configured", `${now.configured}, as configured`], ...Object.entries(LEVELS).filter(([name]) => name !== now.configured)];
  const first = now.who ? "configured" : now.configured === "debug" ? "info" : "debug";
  const spans = field("How long", select("seconds", SPANS, "600"));
  const choose = (event) => (spans.hidden = event.currentTarget.value === "configured");
  const until = now.until_ms ? ` until ${timeOf(now.until_ms)}` : "";
  spans.hidden = first === "configured";
  ask({
    title: "Change the log's level",
    text: now.who ? `Now ${now.level}${until}: ${now.who} has said so.` : `Now ${now.level}, as configured.`,
    fields: [field("Least important lines", select("level", levels, first, choose)), spans],
    yes: "Change",
    act: async (form) => {
      const level = form.get("level");
      const seconds = level === "configured" || !form.get("seconds") ? null : Number(form.get("seconds"));
      const said = await post("/log-level", { level, seconds });
      toast(`The log is written at level ${said.level}.`);
      await after();
    },
  });
}
