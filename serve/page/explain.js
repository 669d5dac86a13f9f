// The words that a paragraph's topic rests on, marked in its text.

import { Fault, ask } from "./api.js";
import { el } from "./dom.js";
import { percent } from "./strings.js";
import { colour, name } from "./topics.js";

const LEAST = 0.1;
/** Of the heaviest word's weight: lighter words are not marked. */

const LISTED = 6;
const FAINTEST = 0.05;
/** Log-odds. Where no word weighs more, none is worth a mark. */

const answers = new WeakMap();

/** The words of one paragraph, shown and hidden by clicks on its chips. `text` has the paragraph, `note` tells of them. */
export class Reasons {
  constructor(paragraph, text, note, chips) {
    Object.assign(this, { paragraph, text, note, chips });
  }

  toggle(topic, pressed) {
    const again = this.note.dataset.topic === topic;
    this.hide();
    if (again) return;
    this.note.dataset.topic = topic;
    pressed.setAttribute("aria-pressed", "true");
    explain(this.paragraph, topic, this.text, this.note);
  }

  hide() {
    delete this.note.dataset.topic;
    this.note.hidden = true;
    this.note.replaceChildren();
    this.text.replaceChildren(this.paragraph.text);
    for (const chip of this.chips.querySelectorAll("[aria-pressed]")) chip.setAttribute("aria-pressed", "false");
  }
}

// What the service said is kept with the paragraph.
async function explain(paragraph, topic, text, note) {
  note.replaceChildren(el("p", { class: "hint", t: ["explaining"] }));
  note.hidden = false;
  try {
    const answer = await answerOf(paragraph, topic);
    if (note.dataset.topic === topic) show(paragraph.text, answer, topic, text, note);
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    if (note.dataset.topic !== topic) return; // another one is asked about by now
    note.replaceChildren(el("p", { class: "fault", t: () => `${fault.advice} ${fault.detail}` }));
  }
}

async function answerOf(paragraph, topic) {
  const known = answers.get(paragraph) ?? new Map();
  answers.set(paragraph, known);
  if (!known.has(topic)) {
    known.set(topic, await ask("explain", { json: { text: paragraph.text, topic } }));
  }
  return known.get(topic);
}

function show(said, { spans, probability }, topic, text, note) {
  const heaviest = Math.max(FAINTEST, ...spans.map(({ weight }) => weight));
  const heavy = spans.filter(({ weight }) => weight >= heaviest * LEAST);
  const characters = Array.from(said); // offsets are in code points
  const word = ({ start, end }) => characters.slice(start, end).join("");
  const pieces = [];
  let at = 0;
  for (const span of heavy) {
    const mark = el("mark", { colour: colour(topic) }, word(span));
    mark.style.setProperty("--w", (0.15 + 0.4 * (span.weight / heaviest)).toFixed(2));
    pieces.push(characters.slice(at, span.start).join(""), mark);
    at = span.end;
  }
  text.replaceChildren(...pieces, characters.slice(at).join(""));
  const values = { topic: () => name(topic), percent: percent(probability) };
  if (!heavy.length) {
    note.replaceChildren(el("p", { t: ["explained_none", values] }));
    return;
  }
  const listed = [...heavy].sort((a, b) => b.weight - a.weight).slice(0, LISTED);
  note.replaceChildren(
    el("p", { class: "note-title", t: ["explained", values] }),
    el("ul", { class: "words" }, ...listed.map(span =>
      el("li", {}, el("span", { lang: "zh-CN" }, word(span)), el("span", { class: "weight" }, span.weight.toFixed(1))))),
    el("p", { class: "hint", t: ["explained_note"] }),
  );
}
