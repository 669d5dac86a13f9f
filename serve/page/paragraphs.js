// The list of paragraphs: added piece by piece, filtered, and each with its topics, its reasons and its editor.

import { chip } from "./chip.js";
import { byId, el, pause } from "./dom.js";
import { editor } from "./editor.js";
import { Reasons } from "./explain.js";
import { isCorrected } from "./feedback.js";
import { current } from "./paragraph.js";
import { NONE, colour } from "./topics.js";

const AT_ONCE = 60;

export class Paragraphs {
  /** `list` is the <ol>; `onChange` hears of corrections, `storing()` says whether they can be stored. */
  constructor(list, { onChange, storing }) {
    this.list = list;
    this.onChange = onChange;
    this.storing = storing;
    this.clear(null);
  }

  clear(document) {
    this.document = document;
    this.rows = [];
    this.chosen = new Set();
    this.list.replaceChildren();
  }

  /** Add paragraphs at the end, with pauses in which the page stays alive. */
  async append(paragraphs) {
    const own = this.rows;
    for (let from = 0; from < paragraphs.length; from += AT_ONCE) {
      if (from) await pause();
      if (own !== this.rows) return; // another document has taken its place
      const rows = paragraphs.slice(from, from + AT_ONCE).map(paragraph => this.#row(paragraph));
      for (const row of rows) row.element.hidden = !this.#passes(row.paragraph);
      this.rows.push(...rows);
      this.list.append(...rows.map(({ element }) => element));
    }
  }

  /** Show only paragraphs with one of these topics; all where there are none. Returns how many are shown. */
  filter(topics) {
    this.chosen = topics;
    let shown = 0;
    for (const { element, paragraph } of this.rows) {
      const passes = this.#passes(paragraph) || element.classList.contains("open"); // what is being corrected stays
      element.hidden = !passes;
      shown += passes;
    }
    return shown;
  }

  #passes(paragraph) {
    const carried = current(paragraph).map(({ id }) => id);
    return !this.chosen.size || (carried.length ? carried : [NONE]).some(id => this.chosen.has(id));
  }

  /** Go on at a row, or where the filter hides it at the next one that it shows. */
  #focus(element) {
    const at = this.rows.findIndex(row => row.element === element);
    const near = [...this.rows.slice(at), ...this.rows.slice(0, at).reverse()].find(row => !row.element.hidden);
    (near?.element.querySelector(".correct") ?? byId("filter-clear")).focus();
  }

  #row(paragraph) {
    const text = el("p", { class: "text", lang: "zh-CN" }, paragraph.text);
    const chips = el("ul", { class: "chips", role: "list", label: ["topics_of", { number: paragraph.number }] });
    const note = el("div", { class: "note", "aria-live": "polite", hidden: true });
    const place = el("div", {});
    const correct = el("button", {
      type: "button", class: "quiet correct", t: ["correct"], label: ["correct_label", { number: paragraph.number }],
      "aria-expanded": "false", on: { click: () => (place.firstChild ? close() : open()) },
    });
    const element = el("li", { class: "paragraph" },
      el("span", { class: "number", "aria-hidden": "true" }, String(paragraph.number)),
      text, el("div", { class: "topics" }, chips, correct), note, place);

    const reasons = new Reasons(paragraph, text, note, chips);

    const show = () => {
      const topics = current(paragraph);
      const main = topics[0];
      element.style.setProperty("--c", main ? colour(main.id) : "var(--line-rgb)");
      chips.replaceChildren(...topics.map(topic => el("li", {}, chip(topic, ({ currentTarget }) => reasons.toggle(topic.id, currentTarget)))));
      if (!topics.length) chips.append(el("li", { class: "none", t: ["no_topic"] }));
      if (isCorrected(paragraph)) chips.append(el("li", { class: "corrected", t: ["corrected"] }));
    };

    const open = () => {
      reasons.hide();
      const closing = el("button", { type: "button", t: ["close"], on: { click: close } });
      const undo = el("button", { type: "button", class: "quiet", t: ["undo"], on: { click: revert } });
      place.replaceChildren(editor(paragraph, {
        document: this.document, storing: this.storing(), title: ["editing", { number: paragraph.number }],
        onChange: () => { reasons.hide(); show(); this.onChange(); }, more: [closing, undo],
      }));
      element.classList.add("open");
      correct.setAttribute("aria-expanded", "true");
      (place.querySelector("[role=combobox]:enabled") ?? place.querySelector(".remove")).focus({ preventScroll: true });
    };

    const close = () => {
      place.replaceChildren();
      element.classList.remove("open");
      correct.setAttribute("aria-expanded", "false");
      this.onChange();
      this.#focus(element);
    };

    const revert = () => {
      paragraph.correction = null;
      show();
      open();
      this.onChange();
    };

    place.addEventListener("keydown", event => {
      const spent = event.defaultPrevented || event.isComposing; // it closed the list of topics, or an input method's
      if (event.key === "Escape" && !spent) close();
    });
    show();
    return { element, paragraph };
  }
}
