// Lines of numbers: small ones in a tile, a large one with an axis.

import { h, svg } from "./dom.js";
import { duration, rate } from "./format.js";

const WIDTH = 300;

function path(values, most, height) {
  const step = WIDTH / Math.max(values.length - 1, 1);
  return values.map((value, place) => `${place ? "L" : "M"}${(place * step).toFixed(1)} ${(height - (value / most) * height).toFixed(1)}`).join("");
}

function drawn(group, values, most, height) {
  const [area, line] = group.children;
  const shown = values.length > 1 ? values : [0, 0];
  const text = path(shown, most, height);
  line.setAttribute("d", text);
  area.setAttribute("d", `${text}L${WIDTH} ${height}L0 ${height}Z`);
}

const pair = (name) => svg("g", { class: name }, svg("path", { class: "area" }), svg("path", { class: "line" }));

export function sparkline(label, tone = "") {
  const group = pair(tone);
  const node = svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} 36`, preserveAspectRatio: "none", role: "img", "aria-label": label }, group);
  return { node, draw: (values) => drawn(group, values.slice(-120), Math.max(...values.slice(-120), 1), 36) };
}

// Up to a round number above the highest.
function ceiling(most) {
  if (most <= 1) return 1;
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 6, 8, 10].map((each) => each * size).find((each) => each >= most);
}

export function chart(label) {
  const first = pair("first");
  const second = pair("second");
  const rules = [0, 0.5, 1].map((part) => svg("line", { class: "rule", x1: 0, x2: WIDTH, y1: part * 180, y2: part * 180 }));
  const canvas = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} 180`, preserveAspectRatio: "none", role: "img", "aria-label": label }, rules, first, second);
  const levels = [0, 1, 2].map(() => h("span"));
  const begin = h("span");
  const node = h("div.plot", null, h("div.y", { "aria-hidden": "true" }, levels), h("div", null, canvas), h("div.x", { "aria-hidden": "true" }, begin, h("span", null, "now")));
  return {
    node,
    draw(one, other, seconds) {
      const most = ceiling(Math.max(...one, ...other, 0));
      drawn(first, one, most, 180);
      drawn(second, other, most, 180);
      levels.forEach((level, place) => (level.textContent = place === 2 ? "0" : rate(most * (1 - place / 2))));
      begin.textContent = `${duration(seconds)} ago`;
    },
  };
}
