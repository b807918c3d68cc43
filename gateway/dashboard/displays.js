// Rich results. Images are images; HTML stays in a frame that may run nothing; everything else is text.

import { make } from "./dom.js";

const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const KEPT = new Set([
  "TABLE", "THEAD", "TBODY", "TFOOT", "TR", "TH", "TD", "CAPTION", "COL", "COLGROUP", "P", "DIV", "SPAN", "B", "I", "STRONG", "EM",
  "CODE", "PRE", "UL", "OL", "LI", "DL", "DT", "DD", "H1", "H2", "H3", "H4", "H5", "H6", "BR", "HR", "SUP", "SUB", "SMALL", "IMG", "FIGURE",
]);
const ATTRIBUTES = new Set(["colspan", "rowspan", "scope", "alt"]);
const ROW_HEIGHT = 27;

// A frame without an origin cannot load it; the policy knows its hash, so it must stand in the frame as it is.
const styles = await (await fetch("/static/display.css")).text();

/** Make an element that shows a display of the executor: `data` is text, or bare base64 for binary types. */
export function display(mime, data) {
  if (IMAGES.has(mime)) return make("img", { class: "shown", src: `data:${mime};base64,${data}`, alt: "Figure drawn by the code" });
  if (mime === "image/svg+xml") {
    return make("img", { class: "shown", src: `data:image/svg+xml,${encodeURIComponent(data)}`, alt: "Drawing made by the code" });
  }
  if (mime === "text/html") return frame(data);
  return make("pre", { class: "result" }, data);
}

function frame(html) {
  const { body } = new DOMParser().parseFromString(quieten(html), "text/html"); // inert: nothing loads or runs
  prune(body);
  const rows = body.querySelectorAll("tr, p, li, h1, h2, h3, br").length;
  const page = document.implementation.createHTMLDocument("Table");
  page.body.dataset.theme = document.documentElement.dataset.theme ?? "auto";
  page.body.append(...body.childNodes);
  const shown = make("iframe", { class: "shown", title: "Table shown by the code", srcdoc: `<!doctype html><style>${styles}</style>${page.body.outerHTML}` });
  shown.setAttribute("sandbox", "");
  shown.style.height = `${Math.min(420, 24 + Math.max(2, rows) * ROW_HEIGHT)}px`;
  return shown;
}

/** Styles and handlers would be refused by the policy, with a complaint for each, as soon as they are parsed. */
function quieten(html) {
  return html
    .replace(/<(\/?)style\b/gi, "<$1template")
    .replace(/<[a-z][^>]*>/gi, (tag) => tag.replace(/([\s"'/])(?:style|on\w+)\s*=/gi, "$1data-dropped="));
}

/** Leave only what a table or a text is made of; the sandbox and the policy hold without this, it spares their complaints. */
function prune(root) {
  for (const element of [...root.querySelectorAll("*")]) {
    if (!KEPT.has(element.tagName)) {
      if (["SCRIPT", "STYLE", "TEMPLATE", "IFRAME", "OBJECT", "svg", "math"].includes(element.tagName)) element.remove();
      else element.replaceWith(...element.childNodes);
      continue;
    }
    for (const { name, value } of [...element.attributes]) {
      const picture = element.tagName === "IMG" && name === "src" && value.startsWith("data:image/");
      if (!picture && !ATTRIBUTES.has(name)) element.removeAttribute(name);
    }
  }
}
