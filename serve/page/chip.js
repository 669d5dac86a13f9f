// A topic as a chip, and the tip with its probability.

import { byId, el, tell } from "./dom.js";
import { percent, t } from "./strings.js";
import { WEAK, colour, name } from "./topics.js";

/** A topic of a paragraph. It is a button that `onClick` makes do something; the tip stands in its name for readers. */
export function chip({ id, probability }, onClick) {
  const weak = probability !== null && probability < WEAK;
  const sure = () => (probability === null ? t("by_hand") : t("probability", { percent: percent(probability) }));
  return el(
    "button",
    { type: "button", class: `chip${weak ? " weak" : ""}`, colour: colour(id), "data-topic": id, "aria-pressed": "false", "data-tip": "", on: { click: onClick } },
    el("span", { class: "swatch", "aria-hidden": "true" }),
    el("span", { class: "chip-name", t: () => name(id) }),
    weak && el("span", { class: "weak-mark", t: ["weak"] }),
    el("span", { class: "unseen chip-sure", t: () => `, ${sure()}` }),
  );
}

/** Show the tip of what is hovered or has the focus. One for the page: in a paragraph it would be clipped. */
export function listenForTips() {
  const tip = byId("tip");
  const show = event => {
    const over = event.target.closest?.("[data-tip]");
    if (!over) return hide();
    const sure = over.querySelector(".chip-sure");
    tell(tip, { text: () => sure.textContent.slice(2) });
    tip.hidden = false;
    const at = over.getBoundingClientRect();
    const left = Math.min(at.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.setProperty("left", `${Math.max(8, left)}px`);
    tip.style.setProperty("top", `${at.bottom + 6}px`);
  };
  const hide = () => (tip.hidden = true);
  for (const event of ["mouseover", "focusin"]) document.addEventListener(event, show);
  for (const event of ["focusout", "mouseleave", "click"]) document.addEventListener(event, hide);
  document.addEventListener("scroll", hide, { passive: true, capture: true });
  document.addEventListener("keydown", ({ key }) => key === "Escape" && hide());
}
