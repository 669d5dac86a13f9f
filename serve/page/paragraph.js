// A document on the page: its paragraphs, what they carry now, and what it is about as a whole.

import { length, parts } from "./parts.js";
import { NONE } from "./topics.js";

/**
 * A document that is being read. `waiting` are its parts that the service has not answered yet, `dropped` lines that were
 * left out already, and `remarks` what was said of its file.
 */
export function newDocument(name, text, dropped = 0, remarks = []) {
  return { name, text, characters: length(text), waiting: parts(text), model: null, paragraphs: [], dropped, remarks };
}

/** The paragraphs of a part's answer, with offsets in the whole document. */
export function take(doc, part, answer) {
  const fresh = answer.results.map(({ start, end, text, topics }, place) => ({
    number: doc.paragraphs.length + place + 1,
    start: start + part.start,
    end: end + part.start,
    text,
    topics: topics.map(({ id, probability }) => ({ id, probability })),
    model: answer.model.version,
    correction: null,
  }));
  doc.model = answer.model;
  doc.dropped += answer.dropped.length;
  doc.paragraphs.push(...fresh);
  return fresh;
}

/** Topics that a paragraph carries now: those that a person gave it, or else the model. Main one first. */
export function current({ topics, correction }) {
  if (!correction) return topics;
  return correction.topics.map(id => ({ id, probability: topics.find(topic => topic.id === id)?.probability ?? null }));
}

/** Share of each topic by length, and of paragraphs with none: [{ id, share, count }], the largest first. */
export function mix(doc) {
  const sums = new Map();
  let whole = 0;
  for (const paragraph of doc.paragraphs) {
    const characters = length(paragraph.text);
    const carried = current(paragraph).map(({ id }) => id);
    whole += characters;
    for (const id of carried.length ? carried : [NONE]) {
      const sum = sums.get(id) ?? { id, characters: 0, count: 0 };
      sum.characters += characters;
      sum.count++;
      sums.set(id, sum);
    }
  }
  return [...sums.values()]
    .map(({ id, characters, count }) => ({ id, share: characters / whole, count }))
    .sort((a, b) => (a.id === NONE) - (b.id === NONE) || b.share - a.share);
}
