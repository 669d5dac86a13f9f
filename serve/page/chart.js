// The topic mix as a bar chart, drawn as SVG; the same as a table for those who do not see it.

import { el, tell } from "./dom.js";
import { number, percent, t } from "./strings.js";
import { NONE, colour, name } from "./topics.js";

const SVG = "http://www.w3.org/2000/svg";
const ROW = 38;
const FIGURE = 52;
const BAR = 8;

export class Chart {
  /** `onPick(id)` is called for the row that is clicked, or chosen with Enter or Space. */
  constructor(place, table, onPick) {
    this.place = place;
    this.table = table;
    this.onPick = onPick;
    this.rows = [];
    this.chosen = new Set();
    this.svg = svg("svg", { role: "group" });
    tell(this.svg, { "aria-label": ["mix_label"] });
    place.append(this.svg);
    new ResizeObserver(() => this.draw()).observe(place);
  }

  /** Rows of `mix`, and the ids of those that are filtered by. */
  show(rows, chosen) {
    this.rows = rows;
    this.chosen = chosen;
    this.draw();
    this.table.replaceChildren(...rows.map(({ id, share, count }) =>
      el("tr", {}, el("th", { scope: "row" }, said(id)), el("td", {}, percent(share)), el("td", {}, number(count)))));
  }

  draw() {
    const width = this.place.clientWidth;
    if (width < 2 * FIGURE) return; // not to be seen now
    const focused = this.svg.querySelector(":focus")?.dataset.topic;
    const height = this.rows.length * ROW;
    for (const [key, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) {
      this.svg.setAttribute(key, value);
    }
    const widest = Math.max(...this.rows.map(({ share }) => share), 0.01);
    this.svg.replaceChildren(...this.rows.map((row, place) => this.#row(row, place, width, widest)));
    for (const text of this.svg.querySelectorAll(".bar-topic")) shorten(text, width - FIGURE - 12);
    if (focused) this.svg.querySelector(`[data-topic="${focused}"]`)?.focus();
  }

  #row({ id, share, count }, place, width, widest) {
    const group = svg("g", {
      role: "button", tabindex: 0, transform: `translate(0 ${place * ROW})`, "data-topic": id,
      "aria-pressed": String(this.chosen.has(id)),
      class: this.chosen.size && !this.chosen.has(id) ? "bar-row faded" : "bar-row",
      "aria-label": t("mix_row", { topic: said(id), percent: percent(share), count: number(count) }),
    });
    group.style.setProperty("--c", id === NONE ? "var(--soft-rgb)" : colour(id));
    const topic = svg("text", { x: 6, y: 17, class: "bar-topic" }, said(id));
    topic.append(svg("title", {}, said(id)));
    group.append(
      svg("rect", { class: "bar-hit", x: 0.5, y: 0.5, width: width - 1, height: ROW - 3, rx: 6 }),
      topic,
      svg("text", { x: width - 6, y: 17, class: "bar-figure", "text-anchor": "end" }, percent(share)),
      svg("rect", { class: "bar-ground", x: 6, y: 23, width: width - 12, height: BAR, rx: 3 }),
      svg("rect", { class: "bar-share", x: 6, y: 23, width: Math.max(2, (width - 12) * (share / widest)), height: BAR, rx: 3 }),
    );
    group.addEventListener("click", () => this.onPick(id));
    group.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.onPick(id);
    });
    return group;
  }
}

const said = id => (id === NONE ? t("no_topic") : name(id));

function shorten(text, width) {
  const node = text.firstChild;
  while (node.data.length > 4 && text.getComputedTextLength() > width) node.data = `${node.data.slice(0, -2)}…`;
}

function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.append(text);
  return made;
}
