// Builds what is on the page. Text becomes text nodes, never markup: messages are other people's.

const SVG = "http://www.w3.org/2000/svg";

// h("p.small", {title: "…", onclick: f}, "text", node, [nodes], null)
export function h(what, props, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  return filled(node, props, children);
}

export function svg(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.setAttribute("class", `${node.getAttribute("class") ?? ""} ${value}`.trim());
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    node.append(child);
  }
}

export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

// Sets text only where it changed, so that a selection of it lives.
export function say(node, text) {
  const said = String(text);
  if (node.textContent !== said) node.textContent = said;
}

const ICONS = {
  overview: "M3 13h5V3H3zM12 17h5V8h-5zM3 17h5v-1.500H3zM12 5h5V3h-5z",
  sources: "M10 3c3.900 0 7 1.100 7 2.500S13.900 8 10 8 3 6.900 3 5.500 6.100 3 10 3zM3 5.500v9C3 15.900 6.100 17 10 17s7-1.100 7-2.500v-9M3 10c0 1.400 3.100 2.500 7 2.500s7-1.100 7-2.500",
  rules: "M4 5h3M4 10h3M4 15h3M10 5h6M10 10h6M10 15h6",
  letters: "M3 5.500A1.500 1.500 0 0 1 4.500 4h11A1.500 1.500 0 0 1 17 5.500v9a1.500 1.500 0 0 1-1.500 1.500h-11A1.500 1.500 0 0 1 3 14.500zM3.500 5.500 10 11l6.500-5.500",
  ledger: "M5 3h9a2 2 0 0 1 2 2v12H6a2 2 0 0 1-2-2V4a1 1 0 0 1 1-1zM4 14.500A1.500 1.500 0 0 1 5.500 13H16M8 6.500h5M8 9.500h3",
  instances: "M4 4h5v5H4zM11 11h5v5h-5zM6.500 9v4.500H11",
  critical: "M10 6.200v4.600M10 13.800v.1M10 2.500l7.800 13.800H2.200z",
  warning: "M10 6v5M10 13.700v.1M10 17.500a7.500 7.500 0 1 0 0-15 7.500 7.500 0 0 0 0 15z",
  info: "M10 9v5M10 6.200v.1M10 17.500a7.500 7.500 0 1 0 0-15 7.500 7.500 0 0 0 0 15z",
  fine: "M6.500 10.200 9 12.700l4.700-5.200M10 17.500a7.500 7.500 0 1 0 0-15 7.500 7.500 0 0 0 0 15z",
  no: "M7 7l6 6M13 7l-6 6M10 17.500a7.500 7.500 0 1 0 0-15 7.500 7.500 0 0 0 0 15z",
  skip: "M6.500 10h7M10 17.500a7.500 7.500 0 1 0 0-15 7.500 7.500 0 0 0 0 15z",
  back: "M12 5l-5 5 5 5",
  key: "M12.500 11.500a4 4 0 1 0-3.400-1.900L3 15.700V17h2.500v-1.800h1.800v-1.800h1.800l1.100-1.100",
};

export function icon(name, size = 20) {
  const path = svg("path", { d: ICONS[name], "stroke-linecap": "round", "stroke-linejoin": "round" });
  return svg("svg", { viewBox: "0 0 20 20", width: size, height: size, fill: "none", stroke: "currentColor", "stroke-width": "1.6", "aria-hidden": "true", focusable: "false" }, path);
}
