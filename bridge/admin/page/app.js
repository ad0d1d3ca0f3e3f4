// Which page is shown, the navigation, and the way in.

import { get, token, whenRefused } from "./api.js";
import { fill, h, icon, say } from "./dom.js";
import { brief, timeOf } from "./format.js";
import * as live from "./live.js";
import { fault, field, head, skeleton, trouble } from "./parts.js";
import * as deadLetters from "./views/dead-letters.js";
import * as instances from "./views/instances.js";
import * as ledger from "./views/ledger.js";
import * as overview from "./views/overview.js";
import * as rules from "./views/rules.js";
import * as sources from "./views/sources.js";

const PAGES = [
  ["overview", "Overview", overview],
  ["sources", "Sources", sources],
  ["rules", "Rules", rules],
  ["dead-letters", "Dead letters", deadLetters],
  ["ledger", "Ledger", ledger],
  ["instances", "Instances", instances],
];
const STATES = { live: ["ok", "Live"], lost: ["bad", "No answer"], waiting: ["", "Connecting"], refused: ["bad", "Token needed"] };

const main = document.getElementById("main");
const counts = {};
let leave = null;
let shown = false;

function navigation(current) {
  const items = PAGES.map(([name, title]) => {
    counts[name] ??= h("span.count", { hidden: true });
    return h("li", null, h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, icon(name === "dead-letters" ? "letters" : name), h("span.label", null, title), counts[name]));
  });
  fill(document.getElementById("nav"), h("ul", null, items));
}

async function show() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("?")[0].split("/").map(decodeURIComponent);
  const page = PAGES.find(([each]) => each === name) ?? PAGES[0];
  const given = new URLSearchParams(location.hash.split("?")[1] ?? "");
  leave?.abort();
  leave = new AbortController();
  const { signal } = leave;
  navigation(page[0]);
  document.title = `${page[1]} · workflow-bridge`;
  fill(main, head(page[1]), skeleton());
  try {
    await page[2].show(main, { rest: rest.filter(Boolean), given, signal });
  } catch (error) {
    if (signal.aborted || error.status === 401) return;
    if (!("advice" in error)) console.error(error);
    fill(main, head(page[1]), trouble(error, show));
  }
  // A screen reader hears the new page; the first one is read from its beginning.
  if (!signal.aborted && shown) main.querySelector("h1")?.focus({ preventScroll: true });
  shown = true;
}

function foot() {
  const dot = h("span.dot");
  const word = h("strong");
  const about = h("span.desk");
  const out = h("button.quiet", { type: "button", hidden: !token.get(), onclick: signOut }, "Forget the token");
  fill(document.getElementById("foot"), h("span.row", null, dot, word), about, out);
  live.listen((numbers, state) => {
    away(numbers, state);
    const [tone, text] = STATES[state];
    dot.className = `dot ${tone} ${state === "live" ? "beats" : ""}`;
    say(word, text);
    out.hidden = !token.get();
    if (numbers && counts["dead-letters"]) {
      const dead = numbers.backlog.dead_letters;
      counts["dead-letters"].hidden = !dead;
      say(counts["dead-letters"], brief(dead));
      counts["dead-letters"].setAttribute("aria-label", `${dead} kept`);
    }
  });
  const tell = () => get("/overview").then((seen) => say(about, `Version ${seen.version} · configuration ${seen.config.generation}`), () => {});
  addEventListener("entered", tell);
  addEventListener("returned", tell);
  tell();
}

// What is on the page looks alive: that nobody answers any more must be said where it is read.
function away(numbers, state) {
  const place = document.getElementById("away");
  if (state === "live") {
    if (!place.hasChildNodes()) return;
    fill(place);
    dispatchEvent(new Event("returned"));
  } else if (state === "lost" && !place.hasChildNodes()) {
    const seen = numbers ? `What is shown is of ${timeOf(numbers.now_ms)}. ` : "";
    fill(place, h("div.notice.critical", null, icon("critical"), h("strong", null, "The bridge does not answer"), h("p.detail", null, `${seen}It is asked again by itself, every few seconds.`), h("p.muted", null, "See whether its process runs, and what it said last: its log, or kubectl logs --previous; workflow-bridge healthcheck on its machine. Calls are kept in the outbox, messages by the brokers.")));
  }
}

function signOut() {
  token.clear();
  location.reload();
}

function signIn(refusal) {
  leave?.abort();
  const input = h("input", { type: "password", name: "token", autocomplete: "off", required: true, spellcheck: "false" });
  const said = h("div", null, token.get() ? fault(refusal) : null);
  const enter = async (event) => {
    event.preventDefault();
    token.set(input.value.trim());
    live.start();
    dispatchEvent(new Event("entered"));
    show();
  };
  document.title = "Token needed · workflow-bridge";
  fill(
    main,
    head("This bridge asks for a token", "It is in the file that the configuration names as admin.operator_token_file, or read_token_file."),
    h("section.card", null, h("div.card-body", null, h("form.stack.short", { onsubmit: enter }, field("Token", input), said, h("div.row", null, h("button.primary", { type: "submit" }, icon("key", 18), "Enter"), h("span.muted.small", null, "Kept in this tab until it is closed."))))),
  );
  input.focus();
}

whenRefused(signIn);
addEventListener("hashchange", show);
live.start();
foot();
show();
