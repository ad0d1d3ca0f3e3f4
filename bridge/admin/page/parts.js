// Parts that several pages use.

import { Trouble } from "./api.js";
import { fill, h, icon } from "./dom.js";

export const head = (title, about, ...actions) =>
  h("div.head", null, h("div", null, h("h1", { tabindex: "-1" }, title), about && h("p.muted", null, about)), actions.length ? h("div.row", null, actions) : null);

export const card = (title, body, more) =>
  h("section.card", null, title ? h("div.card-head", null, h("h2", null, title), more) : null, h("div.card-body", null, body));

export const badge = (text, tone = "") => h("span.badge", { class: tone }, text);

export const empty = (mark, title, text, ...more) => h("div.empty", null, icon(mark, 34), h("strong", null, title), text && h("p", null, text), more);

export const skeleton = () => h("div.skeleton", { role: "status" }, h("span.hidden-text", null, "Loading …"));

export function facts(pairs, kind = "") {
  return h("dl.facts", { class: kind }, pairs.filter(Boolean).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

export function trouble(error, again) {
  const advice = error instanceof Trouble ? error.advice : "This is a defect of the page; reload it, and tell the maintainers.";
  return h("div.notice.critical", { role: "alert" }, icon("critical"), h("strong", null, error.message), h("p", null, advice), again ? h("div.to", null, h("button", { type: "button", onclick: again }, "Try again")) : null);
}

// A table whose rows fold to cards on a narrow screen. columns: [title, class]; rows: arrays of cells.
export function table(caption, columns, rows) {
  const heads = columns.map(([title, kind]) => h("th", { scope: "col", class: kind.startsWith("right") ? "right" : null }, title || h("span.hidden-text", null, "Actions")));
  return h("div.scroll", null, h("table.folds", null, h("caption.hidden-text", null, caption), h("thead", null, h("tr", null, heads)), h("tbody", null, rows)));
}

export function row(columns, cells, href) {
  const tds = cells.map((cell, place) => h("td", { class: columns[place][1], "data-label": columns[place][0] }, wrapped(cell, columns[place][1])));
  if (!href) return h("tr", null, tds);
  const go = (event) => {
    if (!event.target.closest("a,button,input,label") && !String(getSelection())) location.hash = href;
  };
  return h("tr.link", { onclick: go }, tds);
}

const wrapped = (cell, kind) => (kind === "lead" || cell instanceof Node ? cell : h("span", null, cell));

export function toast(text) {
  const node = h("div.toast", null, text);
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), 6000);
}

export function fault(error) {
  return h("p.fault", { role: "alert" }, h("strong", null, error.message), " ", h("span.advice", null, error.advice ?? ""));
}

// Asks before something is done. `act` gets the form's data; the dialog stays open, with the reason, where it fails.
export function ask({ title, text, fields = [], yes, tone = "primary", act }) {
  const said = h("div");
  const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const go = h("button", { type: "submit", class: tone }, yes);
  const form = h("form", { novalidate: true }, h("h2", { id: "dialog-title" }, title), text && h("p", null, text), fields, said, h("div.row", null, cancel, go));
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  const before = document.activeElement;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    fill(said);
    try {
      await act(new FormData(form));
      dialog.close();
    } catch (error) {
      fill(said, fault(error));
    }
    go.disabled = false;
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

export const field = (title, input) => h("label", null, title, input);

export function select(name, options, value, changed) {
  const node = h("select", { name, onchange: changed }, options.map(([key, title]) => h("option", { value: key, selected: key === value }, title)));
  return node;
}

// Text of JSON laid out for reading: nothing but white space changes, so that no number is rounded. Other text stays.
export function laid(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let depth = 0;
  let last = "";
  let written = "";
  for (const piece of text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g) ?? []) {
    const closes = piece === "}" || piece === "]";
    const opened = last === "{" || last === "[";
    if (closes) depth -= 1;
    if (last === "," || opened !== closes) written += last || closes ? `\n${"  ".repeat(depth)}` : "";
    written += piece === ":" ? ": " : piece;
    if (piece === "{" || piece === "[") depth += 1;
    last = piece;
  }
  return written;
}

// JSON laid out and coloured; what the configuration redacts stands out.
export function json(value) {
  const text = typeof value === "string" ? laid(value) : JSON.stringify(value, null, 2);
  const node = h("pre.code", { tabindex: "0", role: "region", "aria-label": "JSON" });
  const pieces = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d[\d.eE+-]*)/g;
  let end = 0;
  for (const found of (text ?? "").matchAll(pieces)) {
    node.append(text.slice(end, found.index));
    const kind = found[2] ? "key" : found[1] ? (found[1] === '"[redacted]"' ? "cut" : "text") : "word";
    node.append(h(`span.${kind}`, null, found[1] ?? found[0]), found[2] ?? "");
    end = found.index + found[0].length;
  }
  node.append((text ?? "").slice(end));
  return node;
}

export function parsed(text, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Trouble(0, "not_json", `${what} is not JSON: ${error.message}`, "Mind the quotes and the commas.");
  }
}
