// What a test asks of a page: texts with too little contrast, and what a screen reader would miss.
(() => {
  const parts = (colour) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const seen = new Map();
  const rgba = (colour) => { if (!seen.has(colour)) seen.set(colour, parts(colour)); return seen.get(colour); };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const found = rgba(getComputedStyle(one).backgroundColor);
      if (found[3] > 250) return found;
    }
    return [255, 255, 255, 255];
  };
  const light = ([red, green, blue]) => [red, green, blue].map((part) => part / 255)
    .map((part) => (part <= .03928 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [.2126, .7152, .0722][place], 0);
  const ratio = (one, other) => {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + .05) / (dark + .05);
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
    if (!text || !element.checkVisibility() || element.disabled || element.closest("svg")) continue;
    const style = getComputedStyle(element), large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const found = ratio(rgba(style.color), ground(element));
    if (found < (large ? 3 : 4.5)) faint.push(`${found.toFixed(2)} ${element.tagName}.${element.className}: ${text.slice(0, 40)}`);
  }
  for (const element of document.querySelectorAll("svg text")) {
    const found = ratio(rgba(getComputedStyle(element).fill), ground(element.closest("figure")));
    if (found < 4.5) faint.push(`${found.toFixed(2)} svg text: ${element.textContent}`);
  }
  const missed = [];
  const want = (holds, what) => { if (!holds) missed.push(what); };
  for (const kind of ["header", "nav", "main", "footer"]) want(document.querySelectorAll(kind).length === 1, `one ${kind}`);
  want(document.querySelectorAll("h1").length === 1, "one h1");
  want(document.documentElement.lang, "a language");
  for (const one of document.querySelectorAll("section")) want(document.getElementById(one.getAttribute("aria-labelledby"))?.textContent, `a name of section ${one.id}`);
  for (const one of document.querySelectorAll("table")) {
    want(one.caption?.textContent, "a caption of a table");
    for (const head of one.querySelectorAll("th")) want(head.scope, `a scope of ${head.textContent}`);
  }
  for (const one of document.querySelectorAll("input, select")) want(one.labels.length, `a label of ${one.name || one.id}`);
  for (const one of document.querySelectorAll("button, a")) want(one.textContent.trim() || one.ariaLabel || one.querySelector("img")?.alt, `a name of ${one.outerHTML.slice(0, 60)}`);
  for (const one of document.querySelectorAll("img")) want(one.alt, `words for ${one.src}`);
  for (const one of document.querySelectorAll("svg")) want(one.getAttribute("aria-label"), "words for a figure");
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  want(new Set(ids).size === ids.length, "ids that are there once");
  return { faint, missed, wide: Math.max(0, document.documentElement.scrollWidth - innerWidth) };
})()
