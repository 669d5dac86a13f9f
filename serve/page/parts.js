// A long text in parts that are sent one after another, so that the first paragraphs are there at once.

const FIRST = 1500;
const LATER = 6000;
const LAST = 1500;

const FINISHED = /[。！？!?…][”’）】》」』〉]*[ \t　]*$/;
const CARRIES_ON = /^[ \t　]*[，。、；：！？”’）】》」』〉]/;
// As policy_topics/segment.py has them.

/**
 * Parts of a text: { text, start, characters }, `start` and `characters` in code points, as the service counts.
 *
 * Cuts stand at line breaks alone, and there behind an empty line or the end of a sentence: elsewhere a line may go on
 * in the next one, as in the text of a PDF, and the service joins the two.
 */
export function parts(text) {
  const found = [];
  let from = 0;
  let start = 0;
  while (from < text.length) {
    const to = cut(text, from, from + (from ? LATER : FIRST));
    const piece = text.slice(from, to);
    const characters = length(piece);
    found.push({ text: piece, start, characters });
    from = to;
    start += characters;
  }
  return found;
}

/** Length in code points. */
export function length(text) {
  let pairs = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) pairs++;
  }
  return text.length - pairs;
}

function cut(text, from, wanted) {
  if (text.length - wanted <= LAST) return text.length; // a short rest would lack what tells how lines are broken
  for (let at = text.indexOf("\n", wanted); at !== -1; at = text.indexOf("\n", at + 1)) {
    const line = text.slice(text.lastIndexOf("\n", at - 1) + 1, at).replace(/\r$/, "");
    const ends = !line.trim() || (FINISHED.test(line) && !CARRIES_ON.test(text.slice(at + 1, at + 9)));
    if (ends && text.length - at > LAST) return at + 1;
  }
  return text.length;
}
