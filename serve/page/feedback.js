// Corrections: made on the page at once, and sent to be stored where the user agrees to that.

import { ask } from "./api.js";

const KEPT = "policy-topics-consent";
const MOST_NAME = 256;
// Characters of a document’s name that the service takes.

let consent = kept();

function kept() {
  try {
    return sessionStorage.getItem(KEPT) === "yes";
  } catch {
    return false;
  }
}

export const agreed = () => consent;

/** Holds for this tab, until it is taken back; each editor shows it. */
export function agree(yes) {
  consent = yes;
  try {
    sessionStorage.setItem(KEPT, yes ? "yes" : "no");
  } catch {
    // then it is asked for anew after a reload
  }
}

/** A correction of its own: another one has another id, the same one sent again keeps its own and is stored once. */
export const correction = topics => ({ id: uuid(), topics, state: "unsaved", fault: null });

/** Topics that a paragraph carries now, by id. */
export const chosen = ({ topics, correction }) => correction?.topics ?? topics.map(({ id }) => id);

/** Whether a person has given it other topics than the model. */
export function isCorrected({ topics, correction }) {
  if (!correction) return false;
  return correction.topics.join() !== topics.map(({ id }) => id).join();
}

export const isUnsaved = ({ correction }) => correction !== null && correction.state !== "saved";

/** Store what a person says of a paragraph; `correction.state` tells what became of it. Topics left as they are count too. */
export async function save(paragraph, document) {
  const said = (paragraph.correction ??= correction(chosen(paragraph)));
  said.state = "saving";
  const item = { id: said.id, text: paragraph.text, old: paragraph.topics, new: said.topics, model: paragraph.model };
  if (document) item.document = document.slice(0, MOST_NAME);
  try {
    await ask("feedback", { json: { items: [item], consent } });
    said.state = "saved";
  } catch (fault) {
    said.state = "failed";
    said.fault = fault;
  }
  return said;
}

/** Random, version 4. `crypto.randomUUID` is there on https and this machine only. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
