// Many dead letters: shown by kind before anything is done, then a few at a time and no faster than said.

import { get, post, query } from "./api.js";
import { fill, h } from "./dom.js";
import { count, plural } from "./format.js";
import { ask, field, table, row, toast } from "./parts.js";

const PER_REQUEST = 200;
const PER_SECOND = 50;
const COLUMNS = [["Reason", "lead"], ["Rule", ""], ["Source", ""], ["Letters", "right"]];
const SHOWN = 6;
const rest = (seconds) => new Promise((go) => setTimeout(go, seconds * 1000));

// chosen: as the list has it. extra: further fields of the dialog. send: posts some numbers, gives what became of each.
export async function bulk({ title, text, yes, tone, extra = [], send, chosen, after }) {
  const { kinds } = await get(`/dead-letters/kinds${query(chosen)}`);
  const total = kinds.reduce((sum, kind) => sum + kind.count, 0);
  const bar = h("progress", { max: total, value: 0, hidden: true, "aria-label": "Letters done" });
  const said = h("p.muted.small.num", { role: "status" });
  const pace = h("input", { name: "pace", type: "number", min: "1", max: "1000", value: String(PER_SECOND), required: true });
  let going = true;
  const dialog = ask({
    title: title(plural(total, "dead letter")),
    text,
    fields: [kindsTable(kinds), ...extra, field("At most so many a second", pace), bar, said],
    yes,
    tone,
    act: async (form) => {
      bar.hidden = false;
      const outcomes = {};
      let done = 0;
      for await (const numbers of portions(chosen, Number(form.get("pace")) || PER_SECOND)) {
        if (!going) return;
        for (const each of await send(numbers, form)) outcomes[each.outcome] = (outcomes[each.outcome] ?? 0) + 1;
        done += numbers.length;
        bar.value = done;
        fill(said, `${count(done)} of ${count(total)}: ${told(outcomes)}`);
      }
      toast(`${told(outcomes) || "Nothing was there any more"}.`);
      await after();
    },
  });
  dialog.classList.add("large");
  dialog.addEventListener("close", () => {
    going = false;
    if (bar.value) after();
  });
}

const told = (outcomes) => Object.entries(outcomes).map(([name, many]) => `${count(many)} ${name}`).join(", ");

export function kindsTable(kinds) {
  const more = kinds.length - SHOWN;
  const rows = kinds.slice(0, SHOWN).map((kind) => row(COLUMNS, [h("strong", null, kind.reason), kind.rule || "none", kind.source, count(kind.count)]));
  return h("div", null, table("What is meant", COLUMNS, rows), more > 0 ? h("p.muted.small", null, `and ${plural(more, "other kind")}`) : null);
}

// The numbers of all that match now, the newest first: what dies again meanwhile is above them, and is not met again.
async function* portions(chosen, perSecond) {
  const size = Math.max(1, Math.min(100, Math.round(perSecond / 5)));
  let before = null;
  do {
    const seen = await get(`/dead-letters${query({ ...chosen, before, limit: PER_REQUEST })}`);
    const numbers = seen.letters.map((each) => each.number);
    for (let first = 0; first < numbers.length; first += size) {
      const some = numbers.slice(first, first + size);
      const begun = performance.now();
      yield some;
      await rest(Math.max(0, some.length / perSecond - (performance.now() - begun) / 1000));
    }
    before = seen.next;
  } while (before !== null);
}
