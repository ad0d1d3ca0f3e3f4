// How the bridge is, at a glance: what wants a person, what moves, what is left of the quota.

import { get } from "../api.js";
import { chart, sparkline } from "../chart.js";
import { fill, h, icon, say } from "../dom.js";
import { brief, count, duration, plural, rate, time } from "../format.js";
import { listen } from "../live.js";
import { logLevel } from "../loudness.js";
import { badge, card, empty, head, row, table } from "../parts.js";
import { drain, named, pauseAny, toggle } from "../pausing.js";

const PAGES = { "dead-letters": "Dead letters", sources: "Sources", rules: "Rules", instances: "Instances" };
const KEPT = 300;
const DEEDS = [["What", "lead"], ["Detail", ""], ["Who", ""], ["When", ""]];

function tile(name, label, tone, href) {
  const value = h("div.value");
  const note = h("div.note");
  const spark = label ? sparkline(label, tone) : null;
  const title = href ? h("a.name", { href }, name) : h("div.name", null, name);
  return { node: h("div.card.tile", null, title, value, note, spark?.node), value, note, draw: spark?.draw };
}

function set(place, number, unit, note) {
  const text = `${number}${unit}`;
  if (place.value.dataset.said !== text) {
    place.value.dataset.said = text;
    fill(place.value, number, unit && h("small", null, unit));
  }
  say(place.note, note);
  place.note.title = note;
}

function notice(each) {
  const link = PAGES[each.page] ? h("a.button.to", { href: `#/${each.page}` }, PAGES[each.page]) : null;
  return h("div.notice", { class: each.severity }, icon(each.severity), h("strong", null, each.title), link, h("p.detail", null, each.detail), h("p.muted", null, each.advice));
}

const calm = () => h("div.notice.fine", null, icon("fine"), h("strong", null, "Nothing wants you"), h("p.muted", null, "Every source has its broker, nothing is paused, and no dead letters are kept."));

const STATES = {
  open: "The target sends no quota headers: nothing is held back here.",
  unknown: "Nothing was heard from the target yet; the first answer tells.",
};

function budget(each) {
  const top = h("div.row.between", null, h("h3", null, each.target), state(each));
  if (each.limit === null || each.remaining === null) {
    const blocked = each.state === "blocked" ? `The API answers nothing for another ${duration(each.reset_seconds)}.` : STATES[each.state];
    return h("div.stack", null, top, h("p.muted", null, blocked));
  }
  const part = (value) => `${Math.max(0, Math.min(100, (value / each.limit) * 100)).toFixed(1)}%`;
  const used = h("i");
  used.style.width = part(each.remaining);
  const kept = h("b");
  kept.style.width = part(each.reserved ?? 0);
  const left = each.remaining - (each.reserved ?? 0);
  const low = each.state === "blocked" ? "none" : left < each.limit * 0.1 ? "low" : "";
  const said = `${count(each.remaining)} of ${count(each.limit)} requests left`;
  const meter = h("div.meter", { class: low, role: "meter", "aria-label": `Quota of ${each.target}`, "aria-valuemin": 0, "aria-valuemax": each.limit, "aria-valuenow": each.remaining, "aria-valuetext": said }, used, kept);
  const reset = each.state === "blocked" ? `Blocked for ${duration(each.reset_seconds)}` : `More in ${duration(each.reset_seconds)}`;
  return h("div.stack", null, top, meter, h("div.row.between.small", null, h("span", null, h("strong.num", null, count(each.remaining)), h("span.muted", null, ` of ${count(each.limit)} requests left`)), h("span.muted.num", null, reset)), h("p.muted.small", null, `The hatched ${count(each.reserved)} are kept for people on the same token.`));
}

function state(each) {
  if (each.state === "blocked") return badge("blocked by the API", "bad");
  return each.state === "counted" ? badge("within the quota", "ok") : badge(each.state === "open" ? "no quota" : "not known yet");
}

function pauses(all, switched, mayAct) {
  if (!all.length && !switched.length) return empty("fine", "Nothing is paused", "Calls go out as fast as the quota allows.");
  const mine = switched.map((each) => h("li", null, h("div.row.between", null, h("div.row", null, h("h3.wrap", null, named(each)), badge("by an operator", "warn")), mayAct ? toggle(each, true) : null), h("p.wrap", null, each.reason), h("p.muted.small", null, `${each.who}, ${time(each.since_ms)}`)));
  return h("ul.stack", null, mine, all.map((each) => h("li", null, h("div.row", null, h("h3.wrap", null, [each.target, each.workflow, each.operation].filter(Boolean).join(" / ")), badge(each.reason, "bad")), h("p", null, each.meaning), each.said ? h("p.wrap", null, "It said: ", each.said) : null, h("p.muted", null, each.advice), h("p.muted.small", null, `Since ${time(each.since_ms)}`))));
}

const changed = (node, value) => {
  const text = JSON.stringify(value);
  if (node.dataset.said === text) return false;
  node.dataset.said = text;
  return true;
};

export async function show(main, { signal }) {
  const seen = await get("/overview", signal);
  const points = seen.history;
  const notices = h("div.stack", { role: "region", "aria-label": "What wants you" });
  const tiles = {
    received: tile("Messages in", "Messages received per second, lately", ""),
    delivered: tile("Calls delivered", "Calls delivered per second, lately", "tone-second"),
    waiting: tile("Calls waiting", "Calls waiting, lately", "tone-warn"),
    oldest: tile("Oldest call", "Age of the oldest waiting call, lately", "tone-warn"),
    dead: tile("Dead letters", "Dead letters per second, lately", "tone-bad", "#/dead-letters"),
  };
  const flow = chart("Messages in and calls delivered per second, over the last minutes");
  const legend = h("div.legend", null, h("span", null, h("i"), "Messages in"), h("span.second", null, h("i"), "Calls delivered"));
  const budgets = h("div.grid");
  const paused = h("div");
  const deeds = h("div");
  const told = () => get("/deeds", signal).then(({ deeds: all }) => fill(deeds, activity(all)), () => {});
  const more = seen.may_act ? h("div.row", null, h("button", { type: "button", onclick: () => pauseMore() }, "Pause …"), h("button.danger", { type: "button", onclick: () => drain() }, "Drain …")) : null;
  const updated = h("span.muted.small.num");

  const draw = (now) => {
    const { rates, backlog } = now;
    if (changed(notices, now.notices)) fill(notices, now.notices.length ? now.notices.map(notice) : calm());
    const waiting = backlog.ready + backlog.later + backlog.parked;
    set(tiles.received, rate(rates.received), "/s", `${rate(rates.retried)}/s tried again`);
    set(tiles.delivered, rate(rates.delivered), "/s", rates.delivered ? "over ten seconds" : "none lately");
    set(tiles.waiting, brief(waiting), "", parts(backlog));
    set(tiles.oldest, duration(backlog.oldest_seconds), "", drains(backlog, waiting, now.paused.length + now.switched.length));
    set(tiles.dead, brief(backlog.dead_letters), "", backlog.blocked_lanes ? `${plural(backlog.blocked_lanes, "lane")} blocked` : rates.dead ? `${rate(rates.dead)}/s now` : "none lately");
    for (const [name, key] of [["received", "received"], ["delivered", "delivered"], ["waiting", "waiting"], ["oldest", "oldest_seconds"], ["dead", "dead"]]) tiles[name].draw(points.map((point) => point[key]));
    flow.draw(points.map((point) => point.received), points.map((point) => point.delivered), points.length ? (now.now_ms - points[0].at_ms) / 1000 : 0);
    if (changed(budgets, now.budgets)) fill(budgets, now.budgets.map(budget));
    if (changed(paused, [now.paused, now.switched])) {
      fill(paused, pauses(now.paused, now.switched, seen.may_act));
      if (deeds.isConnected) told();
    }
    say(updated, `Outbox: ${backlog.type} · up ${duration((now.now_ms - seen.started_ms) / 1000)}`);
  };

  fill(
    main,
    head("Overview", `What moves and what waits, second by second.`, updated),
    notices,
    h("div.tiles", null, Object.values(tiles).map((each) => each.node)),
    card("Throughput per second", flow.node, legend),
    h("div.grid.two", null, card("Quota", budgets), card("Paused", paused, more)),
    card("What operators did", deeds, seen.may_act ? h("button", { type: "button", onclick: () => logLevel(told) }, "Log level …") : null),
  );
  draw(seen);
  told();
  const deaf = listen((numbers, how) => {
    if (how !== "live" || !numbers) return;
    const { point } = numbers;
    if (point && point.at_ms > (points.at(-1)?.at_ms ?? 0)) points.push(point);
    while (points.length > KEPT) points.shift();
    draw(numbers);
  });
  signal.addEventListener("abort", deaf);
  // It was away, and may be another process now: its line begins anew.
  const again = () => get("/overview", signal).then((fresh) => {
    seen.started_ms = fresh.started_ms;
    points.splice(0, points.length, ...fresh.history);
    draw(fresh);
  }, () => {});
  addEventListener("returned", again, { signal });
}

function parts({ ready, later, parked }) {
  const some = [[ready, "ready"], [later, "later"], [parked, "parked"]].filter(([many]) => many);
  return some.map(([many, word]) => `${brief(many)} ${word}`).join(" · ") || "nothing waits";
}

async function pauseMore() {
  const [{ sources }, { rules }, { targets, workflows }] = await Promise.all([get("/sources"), get("/rules"), get("/workflows")]);
  pauseAny({
    source: sources.map((each) => each.name),
    rule: rules.filter((each) => ["create", "event", "status"].includes(each.action)).map((each) => each.name),
    workflow: workflows.map((each) => `${each.target}/${each.workflow}`),
    target: targets,
  });
}

function activity(all) {
  if (!all.length) return h("p.muted", null, "Nothing yet: pauses, redrives, edits and discards are listed here, with who did them.");
  const rows = all.slice(0, 8).map((each) => row(DEEDS, [h("div", null, h("strong", null, each.what), ` ${each.subject}`), each.detail || "–", each.who, h("span.nowrap", null, time(each.at_ms))]));
  return table("What operators did, the last first", DEEDS, rows);
}

function drains(backlog, waiting, held) {
  if (!waiting) return "none";
  if (held) return "something is paused";
  if (backlog.drain_seconds === null) return backlog.ready ? "not shrinking" : "waits for its time";
  return `drained in about ${duration(backlog.drain_seconds)}`;
}
