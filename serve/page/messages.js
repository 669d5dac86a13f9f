// What the page tells the user: how far it is, and what went wrong with what to do.

import { Fault } from "./api.js";
import { byId, el, tell } from "./dom.js";

/** `seen`: not only for screen readers. */
export function status(told, seen = false) {
  tell(byId("status"), { text: told });
  byId("status").className = seen ? "status" : "unseen";
}

export const busy = seconds => status(["waiting", { seconds }], true);

export function showFault(fault) {
  if (fault.name === "AbortError") return;
  if (!(fault instanceof Fault)) throw fault;
  status(() => "");
  const place = byId("fault");
  place.replaceChildren();
  const [advice, detail] = ["strong", "span"].map(tag => place.appendChild(document.createElement(tag)));
  tell(advice, { text: () => fault.advice });
  tell(detail, { text: () => fault.detail });
  place.hidden = false;
}

export function hideFault() {
  byId("fault").hidden = true;
}

/** What the service could not read of a file. Each remark is in both languages. */
export function showRemarks(remarks) {
  const place = byId("remarks");
  place.replaceChildren(...remarks.map(remark => el("p", {}, remark)));
  place.hidden = !remarks.length;
}
