// The taxonomy of the model that answers, and a colour for each topic.

import { inUse } from "./strings.js";

// As far from each other as 33 colours can be (OKLab) that stand out 3:1 from a white and from a dark ground, in an order
// that puts unlike ones beside each other. Chips never rely on them alone: each has its topic's name in the text's colour.
const COLOURS = [
  "161 85 88", "29 108 246", "34 165 47", "180 99 250", "17 145 158", "143 58 209",
  "252 69 64", "192 80 8", "166 147 26", "230 90 212", "13 124 28", "61 154 219",
  "94 95 201", "219 22 67", "219 114 19", "199 59 183", "115 128 5", "122 155 143",
  "2 117 179", "89 103 125", "214 110 116", "195 11 126", "163 94 193", "128 94 249",
  "143 132 221", "71 124 98", "146 100 34", "244 66 141", "185 92 138", "139 90 143",
  "173 130 165", "112 126 171", "149 121 109",
];

const topics = new Map();

export const NONE = "none";
/** Stands where a topic's id would, for paragraphs that carry none. */

export const MOST_TOPICS = 4;
export const WEAK = 0.6;

export function take(taxonomy) {
  topics.clear();
  taxonomy.topics.forEach((topic, place) => topics.set(topic.id, { ...topic, colour: COLOURS[place % COLOURS.length] }));
}

export const all = () => [...topics.values()];

/** The name in the language in use; the id of a topic that the model does not know. */
export const name = id => topics.get(id)?.[inUse()] ?? id;

/** As CSS takes it in rgb(… / 20%). */
export const colour = id => topics.get(id)?.colour ?? "110 118 129";

/** Topics that a search finds, by either name or the id; those that begin with it first. */
export function search(typed) {
  const wanted = typed.trim().toLowerCase();
  const names = ({ id, zh, en }) => [id, zh, en].map(said => said.toLowerCase());
  const found = all().filter(topic => names(topic).some(said => said.includes(wanted)));
  const begins = topic => names(topic).some(said => said.startsWith(wanted));
  return [...found.filter(begins), ...found.filter(topic => !begins(topic))];
}
