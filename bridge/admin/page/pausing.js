// Pausing and resuming, wherever there is something that can be.

import { post, Trouble } from "./api.js";
import { h } from "./dom.js";
import { plural } from "./format.js";
import { ask, field, select, toast } from "./parts.js";

const WORDS = { all: "everything", source: "source", rule: "rule", workflow: "workflow", target: "target" };
const MEANT = {
  all: "Nothing is read and nothing is sent until it is resumed. Nothing is lost.",
  source: "It lets go of its broker, which keeps its messages until it is resumed.",
  rule: "Its messages are still matched and stored; its calls, and what follows them in their lanes, wait.",
  workflow: "Nothing is sent to it; its calls wait in the outbox.",
  target: "Nothing is sent there; its calls wait in the outbox.",
};

export const named = ({ kind, name }) => (name ? `${WORDS[kind]} ${name}` : WORDS[kind]);

export function toggle(what, paused, after) {
  const act = paused ? () => resume(what, after) : () => pause(what, after);
  return h("button", { type: "button", onclick: act, "aria-label": `${paused ? "Resume" : "Pause"} ${named(what)}` }, paused ? "Resume" : "Pause …");
}

export function pause(what, after) {
  ask({
    title: `Pause ${named(what)}?`,
    text: MEANT[what.kind],
    fields: [reason()],
    yes: "Pause",
    act: async (form) => {
      await post("/pause", { ...what, reason: said(form) });
      toast(`Paused: ${named(what)}.`);
      await after?.();
    },
  });
}

export function resume(what, after) {
  ask({
    title: `Resume ${named(what)}?`,
    text: "What has waited goes on, in its order.",
    yes: "Resume",
    act: async () => {
      await post("/resume", { kind: what.kind, name: what.name });
      toast(`Resumed: ${named(what)}.`);
      await after?.();
    },
  });
}

const reason = () => field("Reason, for whoever finds it paused", h("input", { name: "reason", required: true, maxlength: "500", autocomplete: "off" }));

function said(form) {
  const text = form.get("reason").trim();
  if (!text) throw new Trouble(0, "no_reason", "Say why.", "Whoever finds it paused at night needs the reason.");
  return text;
}

// For what has no button of its own. names: of each kind, to choose from.
export function pauseAny(names, after) {
  const name = h("select", { name: "name" });
  const choose = () => {
    const some = names[kind.value];
    name.replaceChildren(...some.map((each) => h("option", { value: each }, each)));
    name.parentElement.hidden = kind.value === "all";
    about.textContent = MEANT[kind.value];
  };
  const kinds = Object.keys(WORDS).filter((each) => each === "all" || names[each].length);
  const kind = select("kind", kinds.map((each) => [each, WORDS[each]]), "all", () => choose());
  const about = h("p.muted");
  const label = field("Name", name);
  ask({
    title: "Pause something",
    fields: [field("What", kind), label, about, reason()],
    yes: "Pause",
    act: async (form) => {
      const what = { kind: form.get("kind"), name: form.get("kind") === "all" ? "" : form.get("name") };
      await post("/pause", { ...what, reason: said(form) });
      toast(`Paused: ${named(what)}.`);
      await after?.();
    },
  });
  choose();
}

export function drain() {
  const limit = h("input", { name: "seconds", type: "number", min: "0", max: "86400", value: "25", required: true });
  ask({
    title: "Drain and stop the bridge?",
    text: "It reads no more, sends what it has, and stops: when nothing is left that can be sent, or at the limit. What is left then waits in the outbox, or at the broker. This cannot be taken back; whoever runs the bridge, Kubernetes or systemd, may start it again.",
    fields: [field("At most so many seconds", limit)],
    yes: "Drain and stop",
    tone: "danger",
    act: async (form) => {
      const seconds = Number(form.get("seconds"));
      if (!(form.get("seconds") && seconds >= 0)) throw new Trouble(0, "no_limit", "Say how long it may take.", "0 stops at once.");
      const told = await post("/drain", { seconds });
      if (!told.ended) toast("The bridge drains; it stops by itself.");
      else toast(told.drained ? "Nothing was left: the bridge stops." : `The bridge stops; ${plural(told.ready + told.later, "call")} wait in the outbox.`);
    },
  });
}
