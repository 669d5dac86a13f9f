// Elements, and texts in them that follow the language.

import { inUse, t } from "./strings.js";

export const byId = id => document.getElementById(id);

/** A pause in which the browser can draw and answer the user. Not a frame: those stop in a tab that is not seen. */
export const pause = () => new Promise(resolve => setTimeout(resolve));

const texts = new WeakMap();

/**
 * An element. `t` is its text, `label` its aria-label, `placeholder` its placeholder: [key, values] or a function, told
 * anew when the language changes. `on` are listeners, `colour` the topic colour that its style sees as --c; everything
 * else are attributes, left out where false.
 */
export function el(tag, { t: text, label, placeholder, on = {}, colour, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  for (const [event, listener] of Object.entries(on)) made.addEventListener(event, listener);
  if (colour) made.style.setProperty("--c", colour);
  if (text || label || placeholder) tell(made, { text, "aria-label": label, placeholder });
  made.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

/** Give an element texts that follow the language: `text`, or attributes by name. */
export function tell(element, told) {
  texts.set(element, { ...texts.get(element), ...told });
  element.dataset.told = "";
  say(element);
}

function say(element) {
  for (const [place, told] of Object.entries(texts.get(element))) {
    if (!told) continue;
    const said = typeof told === "function" ? told() : t(...told);
    if (place === "text") element.textContent = said;
    else element.setAttribute(place, said);
  }
}

/** Take up the texts that stand in the HTML: data-t, data-t-label, data-t-placeholder. */
export function adopt(root) {
  const places = { "data-t": "text", "data-t-label": "aria-label", "data-t-placeholder": "placeholder" };
  for (const [attribute, place] of Object.entries(places)) {
    for (const element of root.querySelectorAll(`[${attribute}]`)) {
      tell(element, { [place]: [element.getAttribute(attribute)] });
    }
  }
}

/** Say everything anew, in the language that is now in use. */
export function localise() {
  document.documentElement.lang = inUse() === "zh" ? "zh-CN" : "en";
  document.title = inUse() === "zh" ? "政策主题" : "Policy topics";
  for (const element of document.querySelectorAll("[data-told]")) say(element);
}
