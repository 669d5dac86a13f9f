// What is on the page, to take along: copied as a table, or as CSV, JSON or DOCX.

import { docx } from "./docx.js";
import { isCorrected } from "./feedback.js";
import { current, mix } from "./paragraph.js";
import { percent, t } from "./strings.js";
import { NONE, name } from "./topics.js";

/** A Blob of the document in a format: "csv", "json" or "docx". */
export function exported(doc, format) {
  return { csv, json, docx: word }[format](doc);
}

/** Name of the file for it: that of the document, without what systems do not allow in names. */
export function fileName(doc, format) {
  const stem = doc.name.replace(/\.[^.]{1,5}$/, "").replace(/[\\/:*?"<>|\p{Cc}]/gu, "_").slice(0, 80);
  return `${stem || "topics"}.${format}`;
}

/** For pasting into a sheet: cells behind tabs. */
export function tabbed(doc) {
  const cell = value => quoted(inert(value).replace(/[\t\r\n]+/g, " "), /"/);
  return rows(doc).map(row => row.map(cell).join("\t")).join("\n");
}

const COLUMNS = ["index", "start", "end", "text", "topics", "topic_ids", "probabilities", "primary", "corrected"];

function rows(doc) {
  return [COLUMNS, ...doc.paragraphs.map(paragraph => {
    const topics = current(paragraph);
    const { number, start, end, text } = paragraph;
    return [
      number - 1, start, end, text, topics.map(({ id }) => name(id)).join("; "), topics.map(({ id }) => id).join("; "),
      topics.map(({ probability }) => probability ?? "").join("; "), topics[0]?.id ?? "", isCorrected(paragraph) ? 1 : 0,
    ];
  })];
}

function csv(doc) {
  const cell = value => quoted(inert(value), /[",\r\n]/);
  const lines = rows(doc).map(row => row.map(cell).join(","));
  return new Blob(["\ufeff", lines.join("\r\n"), "\r\n"], { type: "text/csv;charset=utf-8" }); // Excel wants the mark
}

/** A sheet would run what begins like a formula: an apostrophe in front keeps it a text. JSON has it as it is. */
function inert(value) {
  return typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
}

/** In quotes where it has a character that would mean something else. */
const quoted = (text, special) => (special.test(text) ? `"${text.replace(/"/g, '""')}"` : text);

function json(doc) {
  const results = doc.paragraphs.map(paragraph => {
    const topics = current(paragraph).map(({ id, probability }) => ({ id, name: name(id), probability }));
    const { number, start, end, text } = paragraph;
    const result = { index: number - 1, start, end, text, topics, primary: topics[0]?.id ?? null };
    return isCorrected(paragraph) ? { ...result, model_topics: paragraph.topics } : result;
  });
  const document_topics = mix(doc)
    .filter(({ id }) => id !== NONE)
    .map(({ id, share }) => ({ id, name: name(id), share: Number(share.toFixed(4)) }));
  const whole = { model: doc.model, document: { name: doc.name }, results, document_topics };
  return new Blob([JSON.stringify(whole, null, 1)], { type: "application/json" });
}

function word(doc) {
  const said = id => (id === NONE ? t("no_topic") : name(id));
  const blocks = [
    { style: "Title", text: doc.name },
    { style: "Topics", text: t("model", doc.model) },
    { style: "Heading1", text: t("mix") },
    { rows: [[t("topic"), t("share"), t("paragraph_count")], ...mix(doc).map(({ id, share, count }) => [said(id), percent(share), String(count)])] },
    { style: "Heading1", text: t("paragraphs") },
  ];
  for (const paragraph of doc.paragraphs) {
    const topics = current(paragraph).map(({ id, probability }) => `${name(id)} ${probability === null ? t("by_hand") : percent(probability)}`);
    const mark = isCorrected(paragraph) ? ` · ${t("corrected")}` : "";
    blocks.push({ style: "Normal", text: paragraph.text });
    blocks.push({ style: "Topics", text: `【${topics.join(" · ") || t("no_topic")}${mark}】` });
  }
  return docx(blocks);
}

export function download(blob, file) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Whether it was copied. Pages on http elsewhere than this machine have no clipboard, but may copy what is selected. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
