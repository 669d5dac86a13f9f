// A Word file, made here: a zip of four XML files, stored and not compressed (ECMA-376; APPNOTE.TXT 6.3 of PKWARE).

const W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
const PACKAGE = "http://schemas.openxmlformats.org/package/2006";
const OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml";
const HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n';

/**
 * A Blob. `blocks` are { style, text } paragraphs, of a style "Title", "Heading1", "Normal" or "Topics", and { rows }
 * tables of texts, the first row their heads.
 */
export function docx(blocks) {
  const body = blocks.map(block => (block.rows ? table(block.rows) : paragraph(block.text, block.style))).join("");
  return zip({
    "[Content_Types].xml": `${HEAD}<Types xmlns="${PACKAGE}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="${TYPE}.document.main+xml"/><Override PartName="/word/styles.xml" ContentType="${TYPE}.styles+xml"/></Types>`,
    "_rels/.rels": `${HEAD}<Relationships xmlns="${PACKAGE}/relationships"><Relationship Id="r1" Type="${OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>`,
    "word/_rels/document.xml.rels": `${HEAD}<Relationships xmlns="${PACKAGE}/relationships"><Relationship Id="r1" Type="${OFFICE}/styles" Target="styles.xml"/></Relationships>`,
    "word/styles.xml": HEAD + styles(),
    "word/document.xml": `${HEAD}<w:document xmlns:w="${W}"><w:body>${body}<w:sectPr><w:pgSz w:w="11906" w:h="16838"/><w:pgMar w:top="1440" w:right="1440" w:bottom="1440" w:left="1440" w:header="720" w:footer="720" w:gutter="0"/></w:sectPr></w:body></w:document>`,
  });
}

function paragraph(text, style) {
  return `<w:p><w:pPr><w:pStyle w:val="${style}"/></w:pPr><w:r><w:t xml:space="preserve">${escaped(text)}</w:t></w:r></w:p>`;
}

function table(rows) {
  const cell = text => `<w:tc><w:tcPr><w:tcW w:w="0" w:type="auto"/></w:tcPr>${paragraph(text, "Normal")}</w:tc>`;
  const grid = rows[0].map(() => "<w:gridCol/>").join("");
  const lines = rows.map(row => `<w:tr>${row.map(cell).join("")}</w:tr>`).join("");
  const border = side => `<w:${side} w:val="single" w:sz="4" w:space="0" w:color="BFC6D1"/>`;
  const borders = ["top", "bottom", "insideH"].map(border).join("");
  return `<w:tbl><w:tblPr><w:tblW w:w="5000" w:type="pct"/><w:tblBorders>${borders}</w:tblBorders></w:tblPr><w:tblGrid>${grid}</w:tblGrid>${lines}</w:tbl>`;
}

function styles() {
  const style = (id, name, paragraph, run, more = "") =>
    `<w:style w:type="paragraph" w:styleId="${id}"${more}><w:name w:val="${name}"/><w:pPr>${paragraph}</w:pPr><w:rPr>${run}</w:rPr></w:style>`;
  return (
    `<w:styles xmlns:w="${W}"><w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Calibri" w:hAnsi="Calibri" w:eastAsia="宋体"/><w:sz w:val="22"/><w:lang w:val="en-GB" w:eastAsia="zh-CN"/></w:rPr></w:rPrDefault></w:docDefaults>` +
    style("Normal", "Normal", '<w:spacing w:line="340" w:lineRule="auto"/>', "", ' w:default="1"') +
    style("Title", "Title", '<w:spacing w:after="200"/>', '<w:b/><w:sz w:val="36"/>') +
    style("Heading1", "heading 1", '<w:keepNext/><w:spacing w:before="360" w:after="120"/><w:outlineLvl w:val="0"/>', '<w:b/><w:sz w:val="28"/>') +
    style("Topics", "Topics", '<w:spacing w:after="240"/>', '<w:color w:val="1F4B6E"/><w:sz w:val="20"/>') +
    "</w:styles>"
  );
}

/** XML knows no control characters, not even escaped ones, and no halves of surrogate pairs. */
function escaped(text) {
  return text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd")
    .replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

function crc32(bytes) {
  let sum = ~0;
  for (const byte of bytes) sum = (sum >>> 8) ^ TABLE[(sum ^ byte) & 255];
  return ~sum >>> 0;
}

/** `files` by name, texts. */
function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [name, text] of Object.entries(files)) {
    const path = new TextEncoder().encode(name);
    const data = new TextEncoder().encode(text);
    // version 2.0, names in UTF-8, stored, 1 January 1980 (the first day that there is)
    const common = [[20, 2], [0x800, 2], [0, 2], [0, 2], [0x21, 2], [crc32(data), 4], [data.length, 4], [data.length, 4], [path.length, 2], [0, 2]];
    parts.push(record([[0x04034b50, 4], ...common]), path, data);
    directory.push(record([[0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]), path);
    offset += 30 + path.length + data.length;
  }
  const size = directory.reduce((sum, piece) => sum + piece.length, 0);
  const count = Object.keys(files).length;
  const end = record([[0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], [size, 4], [offset, 4], [0, 2]]);
  return new Blob([...parts, ...directory, end], { type: `${TYPE}.document` });
}

/** Numbers with their widths in bytes, little-endian. */
function record(fields) {
  const bytes = [];
  for (const [value, width] of fields) for (let i = 0; i < width; i++) bytes.push((value >>> (8 * i)) & 255);
  return Uint8Array.from(bytes);
}
