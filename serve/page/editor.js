// Correcting one paragraph: its topics with a × each, a list to add others from, consent, and saving.

import { el, tell } from "./dom.js";
import { agree, agreed, chosen, correction, save } from "./feedback.js";
import { t } from "./strings.js";
import { MOST_TOPICS, colour, name, search } from "./topics.js";

const FOLLOW = "follow";

let made = 0;

/** Consent, and what is stored of a paragraph, hold for every editor on the page. */
function followAll() {
  for (const form of document.querySelectorAll("form.editor")) form.dispatchEvent(new Event(FOLLOW));
}

/**
 * An editor of `paragraph.correction`, which it changes at once. `onChange` hears of every change, `onSaved` of what is
 * stored. Without `storing` corrections stay on the page. `more` are further buttons.
 */
export function editor(paragraph, { document = null, storing, saveText = "save", title, onChange, onSaved = () => {}, more = [] }) {
  const list = el("ul", { class: "edited", role: "list" });
  const state = el("p", { class: "state", role: "status" });
  const retry = el("button", { type: "button", t: ["retry"], hidden: true, on: { click: () => store() } });
  const saving = el("button", { class: "primary", t: [saveText] });
  const picker = pickerOf(add, () => chosen(paragraph));
  const agreement = storing && consentOf();

  function change(topics, said) {
    paragraph.correction = correction(topics);
    show();
    tell(state, { text: said });
    onChange();
  }

  function add(id) {
    change([...chosen(paragraph), id], ["added", { topic: () => name(id) }]);
    (picker.field.disabled ? [...list.querySelectorAll(".remove")].at(-1) : picker.field).focus();
  }

  function remove(id, place) {
    change(chosen(paragraph).filter(other => other !== id), ["removed", { topic: () => name(id) }]);
    (list.querySelectorAll(".remove")[place] ?? picker.field).focus();
  }

  function promote(id) {
    change([id, ...chosen(paragraph).filter(other => other !== id)]);
    list.querySelector(".chip").focus();
  }

  function show() {
    const ids = chosen(paragraph);
    list.replaceChildren(...ids.map((id, place) => item(id, place, remove, promote)));
    if (!ids.length) list.append(el("li", { class: "hint", t: ["no_topics_chosen"] }));
    picker.show();
    follow();
  }

  /** Show what has come of saving, and whether there is consent to it. */
  function follow() {
    const told = { saving: ["saving"], saved: ["saved"], failed: () => `${t("save_failed")} ${paragraph.correction.fault.advice ?? ""}` };
    const now = paragraph.correction?.state;
    state.classList.toggle("fault", now === "failed");
    tell(state, { text: told[now] ?? (() => "") });
    retry.hidden = now !== "failed";
    if (!storing) return;
    agreement.box.checked = agreed();
    retry.disabled = !agreed();
    saving.disabled = !agreed() || now === "saving" || now === "saved";
  }

  async function store() {
    const saved = save(paragraph, document);
    follow();
    onChange();
    const said = await saved;
    if (said !== paragraph.correction) return; // changed again meanwhile
    followAll(); // this one may have been closed, and opened anew
    onChange();
    if (said.state === "saved") onSaved();
  }

  show();
  return el(
    "form",
    { class: "editor", label: title, on: { submit: event => { event.preventDefault(); store(); }, [FOLLOW]: follow } },
    el("p", { class: "label", t: ["chosen_topics", { most: MOST_TOPICS }] }),
    list,
    picker.element,
    agreement?.element,
    el("div", { class: "row" }, storing && saving, ...more, retry, state),
  );
}

function item(id, place, remove, promote) {
  const values = { topic: () => name(id) };
  return el(
    "li",
    { class: "chip edit", colour: colour(id), "data-topic": id, tabindex: "-1" },
    el("span", { class: "swatch", "aria-hidden": "true" }),
    place === 0
      ? el("span", { class: "chip-name", t: () => name(id) })
      : el("button", { type: "button", class: "chip-name promote", t: () => name(id), label: ["make_main", values], on: { click: () => promote(id) } }),
    place === 0 && el("span", { class: "main-mark", t: ["main"] }),
    el("button", { type: "button", class: "remove", label: ["remove", values], on: { click: () => remove(id, place) } }, "×"),
  );
}

function consentOf() {
  const id = `consent-${++made}`;
  const box = el("input", { type: "checkbox", id, "aria-describedby": `${id}-note`, on: { change: () => { agree(box.checked); followAll(); } } });
  const element = el(
    "div",
    { class: "consent" },
    box,
    el("div", {},
      el("label", { for: id, t: ["consent"] }),
      el("p", { class: "hint", id: `${id}-note`, t: ["consent_note", { host: location.host }] })),
  );
  return { box, element };
}

/** A field to search the topics with, after the ARIA pattern of a combobox with a list. */
function pickerOf(onPick, taken) {
  const id = `picker-${++made}`;
  const options = el("ul", { role: "listbox", id: `${id}-list`, class: "options", label: ["add"], hidden: true });
  const field = el("input", {
    id, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", placeholder: ["add_placeholder"],
    "aria-controls": `${id}-list`, "aria-expanded": "false", "aria-autocomplete": "list",
    on: { input: () => open(), click: () => open(), blur: () => close(), keydown: pressed },
  });
  const full = el("p", { class: "hint", t: ["add_full", { most: MOST_TOPICS }], hidden: true });
  let active = -1;

  const entries = () => [...options.querySelectorAll("[role=option]")];

  function open() {
    const found = search(field.value).filter(topic => !taken().includes(topic.id));
    options.replaceChildren(...found.map((topic, place) => option(topic, place)));
    if (!found.length) options.append(el("li", { class: "hint", role: "presentation", t: ["add_none"] }));
    options.hidden = false;
    field.setAttribute("aria-expanded", "true");
    point(field.value && found.length ? 0 : -1);
  }

  function option(topic, place) {
    // mousedown, not click: the field must not lose the focus first
    const on = { mousedown: event => { event.preventDefault(); pick(topic.id); } };
    return el("li", { role: "option", id: `${id}-${place}`, "data-topic": topic.id, "aria-selected": "false", colour: topic.colour, on },
      el("span", { class: "swatch", "aria-hidden": "true" }), el("span", { t: () => name(topic.id) }));
  }

  function close() {
    options.hidden = true;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
    active = -1;
  }

  function point(at) {
    const all = entries();
    active = all.length ? (at + all.length) % all.length : -1;
    if (at < 0) active = -1;
    all.forEach((entry, place) => entry.setAttribute("aria-selected", String(place === active)));
    if (active < 0) return field.removeAttribute("aria-activedescendant");
    field.setAttribute("aria-activedescendant", all[active].id);
    all[active].scrollIntoView({ block: "nearest" });
  }

  function pick(topic) {
    field.value = "";
    close();
    onPick(topic);
  }

  function pressed(event) {
    if (event.isComposing) return; // Enter and arrows belong to the input method
    const all = entries();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (options.hidden) open();
      else point(event.key === "ArrowDown" ? active + 1 : active <= 0 ? all.length - 1 : active - 1);
    } else if (event.key === "Enter") {
      if (!options.hidden && active >= 0) pick(all[active].dataset.topic);
    } else if (event.key === "Escape" && !options.hidden) {
      close();
    } else {
      return;
    }
    event.preventDefault();
  }

  return {
    field,
    element: el("div", { class: "picker" }, el("label", { for: id, t: ["add"] }), field, full, options),
    show() {
      const none = taken().length >= MOST_TOPICS;
      field.disabled = none;
      full.hidden = !none;
    },
  };
}
