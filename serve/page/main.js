// The page: what the user does, and what is shown then.

import { Fault, ask, listenForKey } from "./api.js";
import { Chart } from "./chart.js";
import { listenForTips } from "./chip.js";
import { adopt, byId, localise, tell } from "./dom.js";
import { copied, download, exported, fileName, tabbed } from "./export.js";
import { isUnsaved } from "./feedback.js";
import { busy, hideFault, showFault, showRemarks, status } from "./messages.js";
import { mix, newDocument, take } from "./paragraph.js";
import { Paragraphs } from "./paragraphs.js";
import { Queue } from "./queue.js";
import { bytes, inUse, number, t, use } from "./strings.js";
import { NONE, name, take as takeTopics } from "./topics.js";

const TOLD_EVERY = 0.25;
/** Parts of the whole after which a screen reader is told how far it is. */

const shown = new Paragraphs(byId("paragraphs"), { onChange: corrected, storing: () => about?.feedback.enabled });
const chart = new Chart(byId("chart"), byId("mix-table").tBodies[0], pick);
const queue = new Queue(byId("queue"));

let about = null; // the answer of /model
let file = null; // chosen, and not yet read
let doc = newDocument("", "");
let running = null; // AbortController
let filtered = new Set();

// ---- Reading a text

async function start(event) {
  event.preventDefault();
  if (byId("send").disabled) return; // Ctrl+Enter again, and the one before is still on its way
  hideFault();
  const text = byId("text").value;
  if (!file && !text.trim()) {
    status(["nothing"], true);
    byId("text").focus();
    return;
  }
  running = new AbortController();
  byId("send").disabled = true;
  try {
    if (!about) await begin();
    open(file ? await readFile(file) : newDocument("", text));
    await go();
  } catch (fault) {
    showFault(fault);
  } finally {
    byId("send").disabled = false;
  }
}

async function readFile(chosen) {
  if (about && chosen.size > about.limits.max_body_bytes) {
    // it would be refused anyhow, after it was sent
    const told = ["too_large_file", { size: bytes(chosen.size), most: bytes(about.limits.max_body_bytes) }];
    throw new Fault({ code: "too_large", told });
  }
  status(["reading"], true);
  const form = new FormData();
  form.append("file", chosen);
  const { document, text, dropped } = await ask("read_document", { form, signal: running.signal, onWait: busy });
  return newDocument(document.name, text, dropped.length, document.remarks);
}

function open(read) {
  replace({ ...read, name: read.name || t("pasted") }, read.name || null);
  tell(byId("document-name"), { text: read.name ? () => read.name : ["pasted"] });
  byId("input").hidden = true;
  byId("bar").hidden = false;
  byId("results").hidden = true;
  byId("taken").textContent = "";
  status(["started", { characters: () => number(doc.characters) }]);
  byId("document-name").focus();
  overview();
}

/** Put a document where the one before stood. `name` is that of its file. */
function replace(other, name) {
  doc = other;
  filtered = new Set();
  shown.clear(name);
  showRemarks(doc.remarks);
  showFilter();
}

/** Send the parts that wait. What has come stays, however this ends. */
async function go() {
  const own = doc;
  running = new AbortController();
  const { signal } = running;
  let told = TOLD_EVERY;
  byId("running").hidden = false;
  byId("resume").hidden = true;
  try {
    while (own.waiting.length) {
      const [part] = own.waiting;
      const answer = await ask("classify_document", { json: { text: part.text }, signal, onWait: busy });
      if (own !== doc) return; // another text has taken its place
      const fresh = take(own, part, answer);
      own.waiting.shift();
      await shown.append(fresh);
      if (own !== doc) return;
      overview();
      const share = done() / doc.characters;
      if (own.waiting.length && share >= told) {
        told = share + TOLD_EVERY;
        status(["reached", { percent: Math.round(share * 100), paragraphs: () => number(doc.paragraphs.length) }]);
      }
    }
    status(doc.paragraphs.length ? ["finished", { paragraphs: () => number(doc.paragraphs.length) }] : ["no_text"], !doc.paragraphs.length);
  } catch (fault) {
    if (own !== doc) return;
    byId("resume").hidden = false;
    if (fault.name === "AbortError") status(["cancelled", { paragraphs: number(doc.paragraphs.length) }], true);
    else showFault(fault);
  } finally {
    if (own === doc) {
      byId("running").hidden = true;
      running = null;
      overview();
    }
  }
}

const done = () => doc.characters - doc.waiting.reduce((sum, part) => sum + part.characters, 0);

function overview() {
  byId("progress").value = doc.characters ? done() / doc.characters : 0;
  byId("results").hidden = !doc.paragraphs.length;
  const values = {
    paragraphs: () => number(doc.paragraphs.length), characters: () => number(doc.characters),
    done: () => number(done()), dropped: () => number(doc.dropped),
  };
  tell(byId("counts"), { text: [doc.waiting.length ? "counts_running" : doc.dropped ? "counts_dropped" : "counts", values] });
  if (doc.model) tell(byId("model"), { text: ["model", doc.model] });
  chart.show(mix(doc), filtered);
  if (filtered.size) showFilter();
}

function another() {
  const unsaved = doc.paragraphs.some(isUnsaved);
  if (unsaved && !confirm(t("another_sure"))) return;
  running?.abort();
  replace(newDocument("", ""), null);
  choose(null);
  hideFault();
  byId("text").value = "";
  byId("bar").hidden = true;
  byId("results").hidden = true;
  byId("input").hidden = false;
  byId("text").focus();
}

// ---- Choosing a file

function choose(chosen) {
  file = chosen;
  byId("file").value = "";
  byId("chosen").hidden = !file;
  byId("text").hidden = Boolean(file);
  if (file) tell(byId("chosen-name"), { text: ["chosen", { name: file.name, size: bytes(file.size) }] });
  status(() => "");
}

function listenForFiles() {
  byId("file").addEventListener("change", () => choose(byId("file").files[0] ?? null));
  byId("unchoose").addEventListener("click", () => { choose(null); byId("text").focus(); });
  const input = byId("input");
  const carries = event => [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", event => {
    if (!carries(event)) return;
    event.preventDefault(); // or the browser would leave the page for the file
    input.classList.toggle("over", !input.hidden);
  });
  document.addEventListener("dragleave", event => event.relatedTarget === null && input.classList.remove("over"));
  document.addEventListener("drop", event => {
    if (!carries(event)) return;
    event.preventDefault();
    input.classList.remove("over");
    if (input.hidden) return;
    choose(event.dataTransfer.files[0]);
    if (event.dataTransfer.files.length > 1) status(["one_file", { name: event.dataTransfer.files[0].name }], true);
  });
}

// ---- Filtering, correcting, taking along

function pick(id) {
  if (!filtered.delete(id)) filtered.add(id);
  chart.show(mix(doc), filtered);
  showFilter();
}

function showFilter() {
  const shownNow = shown.filter(filtered);
  byId("filter").hidden = !filtered.size;
  const topics = () => [...filtered].map(id => (id === NONE ? t("no_topic") : name(id))).join(t("filter_or"));
  const values = { topics, shown: () => number(shownNow), all: () => number(doc.paragraphs.length) };
  if (filtered.size) tell(byId("filter-text"), { text: ["filter_text", values] });
}

function corrected() {
  overview();
  showFilter();
}

function listenForTaking() {
  for (const button of byId("take").querySelectorAll("[data-format]")) {
    button.addEventListener("click", () => {
      const { format } = button.dataset;
      const file = fileName(doc, format);
      download(exported(doc, format), file);
      tell(byId("taken"), { text: ["saved_as", { name: file }] });
    });
  }
  byId("copy").addEventListener("click", async () => {
    tell(byId("taken"), { text: [(await copied(tabbed(doc))) ? "copied" : "copy_failed"] });
  });
}

// ---- Views and language

function listenForTabs() {
  const tabs = [byId("tab-read"), byId("tab-queue")];
  const choose = tab => {
    for (const other of tabs) {
      other.setAttribute("aria-selected", String(other === tab));
      other.tabIndex = other === tab ? 0 : -1;
      byId(other.getAttribute("aria-controls")).hidden = other !== tab;
    }
    if (tab === tabs[1]) queue.show();
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", ({ key }) => {
      if (key !== "ArrowLeft" && key !== "ArrowRight") return;
      const other = tabs[1 - tabs.indexOf(tab)];
      choose(other);
      other.focus();
    });
  }
}

async function offerQueue() {
  if (!about.feedback.queue || !(await queue.look())) return;
  byId("tabs").hidden = false;
  byId("read").setAttribute("role", "tabpanel");
  byId("read").setAttribute("aria-labelledby", "tab-read");
}

function speak() {
  localise();
  byId("language").textContent = t("other_language");
  byId("language").lang = inUse() === "zh" ? "en" : "zh-CN";
  chart.show(mix(doc), filtered);
}

async function begin() {
  try {
    const [taxonomy, model] = await Promise.all([ask("topics", { onWait: busy }), ask("model", { onWait: busy })]);
    takeTopics(taxonomy);
    about = model;
    tell(byId("model"), { text: ["model", model] });
    status(() => "");
    localise();
    await offerQueue();
  } catch (fault) {
    showFault(fault);
  }
}

adopt(document);
speak();
listenForKey();
listenForTips();
listenForFiles();
listenForTaking();
listenForTabs();
byId("input").addEventListener("submit", start);
byId("text").addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("input").requestSubmit();
});
byId("cancel").addEventListener("click", () => running?.abort());
byId("resume").addEventListener("click", () => { hideFault(); go(); });
byId("another").addEventListener("click", another);
byId("filter-clear").addEventListener("click", () => {
  filtered = new Set();
  chart.show(mix(doc), filtered);
  showFilter();
});
byId("language").addEventListener("click", () => {
  use(inUse() === "zh" ? "en" : "zh");
  speak();
});
window.addEventListener("beforeunload", event => {
  if (doc.paragraphs.some(isUnsaved) || queue.unsaved) event.preventDefault();
});
begin();
