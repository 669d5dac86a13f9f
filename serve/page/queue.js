// Paragraphs that are worth a label, one by one.

import { Fault, ask } from "./api.js";
import { chip } from "./chip.js";
import { byId, el, tell } from "./dom.js";
import { editor } from "./editor.js";
import { Reasons } from "./explain.js";
import { number } from "./strings.js";

const AT_ONCE = 20;

/** The tab of the queue, and what is in it. It is shown where the service has paragraphs to offer. */
export class Queue {
  constructor(place) {
    this.place = place;
    this.items = [];
    this.total = 0;
    this.skipped = 0;
    this.seen = 0;
  }

  /** Whether any paragraph waits. */
  async look() {
    await this.#load();
    return this.items.length > 0;
  }

  /** Whether what is on the page is corrected and not stored. */
  get unsaved() {
    return this.now?.correction != null && this.now.correction.state !== "saved";
  }

  show() {
    if (!this.now) this.#next();
  }

  // Those that somebody corrects leave the queue, so the ones skipped are all that stand before the next.
  async #load() {
    const { items, total } = await ask(`queue?offset=${this.skipped}&limit=${AT_ONCE}`);
    this.items = items;
    this.total = total;
    tell(byId("tab-queue"), { text: ["tab_queue_count", { count: () => number(total) }] });
  }

  async #next() {
    try {
      if (!this.items.length) await this.#load();
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      const again = el("button", { type: "button", t: ["retry"], on: { click: () => this.#next() } });
      return this.place.replaceChildren(el("p", { class: "fault", role: "alert", t: () => `${fault.advice} ${fault.detail}` }), again);
    }
    const item = this.items.shift();
    if (!item) return this.#end();
    this.seen++;
    this.now = { ...item, correction: null };
    this.place.replaceChildren(this.#card(this.now));
    this.place.querySelector("h2").focus();
  }

  #card(item) {
    const left = Math.max(0, this.total - this.skipped - 1);
    const skip = el("button", { type: "button", t: ["skip_item"], on: { click: () => { this.skipped++; this.#next(); } } });
    const text = el("p", { class: "text", lang: "zh-CN" }, item.text);
    const note = el("div", { class: "note", "aria-live": "polite", hidden: true });
    const chips = el("ul", { class: "chips", role: "list" });
    const reasons = new Reasons(item, text, note, chips);
    chips.append(...item.topics.map(topic => el("li", {}, chip(topic, event => reasons.toggle(topic.id, event.currentTarget)))));
    if (!item.topics.length) chips.append(el("li", { class: "none", t: ["no_topic"] }));
    return el("article", { class: "card" },
      el("p", { class: "hint", t: ["queue_intro"] }),
      el("h2", { tabindex: "-1", t: ["queue_place", { place: this.seen, left: () => number(left) }] }),
      item.document && el("p", { class: "hint", t: ["queue_from", { document: item.document }] }),
      text,
      el("p", { class: "hint" }, item.reason),
      el("p", { class: "label", t: ["queue_model"] }),
      chips,
      note,
      editor(item, {
        document: item.document, storing: true, saveText: "save_next", title: ["tab_queue"], onChange: () => {},
        onSaved: () => this.#stored(item), more: [skip],
      }));
  }

  /** It leaves the queue. Where it was skipped while it was being stored, the next one is on the page by now. */
  #stored(item) {
    this.total--;
    this.#count();
    if (this.now === item) this.#next();
    else this.skipped--;
  }

  #count() {
    const { total } = this;
    tell(byId("tab-queue"), { text: ["tab_queue_count", { count: () => number(total) }] });
  }

  #end() {
    this.now = null;
    const again = this.skipped > 0 && el("button", { type: "button", t: ["queue_again"], on: { click: () => { this.skipped = 0; this.#next(); } } });
    this.place.replaceChildren(el("article", { class: "card" }, el("h2", { tabindex: "-1", t: ["queue_done"] }), again));
    this.place.querySelector("h2").focus();
  }
}
