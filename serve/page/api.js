// Requests to the service: the key, waiting when it is busy, and its errors in the language in use.

import { byId, tell } from "./dom.js";
import { has, inUse, t } from "./strings.js";

const KEPT = "policy-topics-key";
const TRIES = 8;
const MOST_SECONDS = 60;
const KEY = /^[\x21-\x7e]+$/; // fetch sends no request that has other characters in a header

/** Something the service refused, or that did not reach it. */
export class Fault extends Error {
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }

  /** What to do, in the language in use. */
  get advice() {
    const key = `do_${this.problem.code}`;
    return t(has(key) ? key : "do_other");
  }

  /** What the service says of it, in the language in use. */
  get detail() {
    const { detail, detail_zh, told } = this.problem;
    return told ? t(...told) : inUse() === "zh" ? detail_zh : detail;
  }
}

/**
 * The JSON that the service answers. `json` or `form` is what is sent; nothing makes it a GET. A busy service is asked
 * again when it says so, and `onWait(seconds)` hears of it; the key is asked for where the service wants one.
 */
export async function ask(path, { json, form, signal, onWait = () => {} } = {}) {
  for (let tried = 1; ; tried++) {
    const used = key();
    const response = await send(path, { json, form, signal, used });
    if (response.ok) return arrived(response.json());
    const problem = await problemOf(response);
    if (problem.code === "unauthorized") {
      await wanted(used, signal);
      tried = 0;
      continue;
    }
    const seconds = Number(response.headers.get("Retry-After"));
    if (!seconds || tried === TRIES) throw new Fault(problem);
    onWait(Math.min(seconds, MOST_SECONDS));
    await rest(Math.min(seconds, MOST_SECONDS), signal);
  }
}

async function send(path, { json, form, signal, used }) {
  const headers = { "Accept-Language": inUse() };
  if (used) headers.Authorization = `Bearer ${used}`;
  if (json) headers["Content-Type"] = "application/json";
  const body = json ? JSON.stringify(json) : form;
  return arrived(fetch(path, { method: body ? "POST" : "GET", headers, body, signal }));
}

/** What comes from the service. An answer that is cut off, or that a proxy gave in a form of its own, did not come. */
async function arrived(awaited) {
  try {
    return await awaited;
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Fault({ code: "network", told: ["network"] });
  }
}

async function problemOf(response) {
  try {
    const problem = await response.json();
    if (problem.code) return problem;
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    // a proxy answered, in a form of its own
  }
  const said = `HTTP ${response.status}`;
  return { code: response.status === 413 ? "too_large" : "other", detail: said, detail_zh: said };
}

function rest(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}

// The key. It is kept for this tab alone, and not at all where the browser keeps nothing.

let held = "";

function key() {
  try {
    const kept = sessionStorage.getItem(KEPT) ?? held;
    return KEY.test(kept) ? kept : ""; // one that cannot be sent is asked for anew
  } catch {
    return held;
  }
}

function hold(given) {
  held = given;
  try {
    sessionStorage.setItem(KEPT, given);
  } catch {
    // then it is gone with a reload
  }
}

/** Ask the user for another key than `used`, which the service refused. */
function wanted(used, signal) {
  if (key() !== used) return Promise.resolve(); // another request has asked meanwhile
  const form = byId("key");
  if (form.hidden) {
    tell(byId("key-fault"), { text: () => (used ? t("key_wrong") : "") });
    form.hidden = false;
    byId("key-field").focus();
  }
  return new Promise((resolve, reject) => {
    form.addEventListener("submit", () => resolve(), { once: true });
    signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
  });
}

export function listenForKey() {
  byId("key").addEventListener("submit", event => {
    event.preventDefault();
    const given = byId("key-field").value.trim();
    if (!KEY.test(given)) {
      event.stopImmediatePropagation(); // requests go on waiting
      tell(byId("key-fault"), { text: ["key_characters"] });
      return byId("key-field").focus();
    }
    hold(given);
    byId("key").hidden = true;
  }, { capture: true });
}
