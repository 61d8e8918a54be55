// Draws the figures that stand in the page as data, in the page's theme; folds; sorts; the theme button. Nothing is fetched.
"use strict";

const INK = { "#1A1A1A": "#E6E6E6", "#E3E3E3": "#333333" };
const WORDS = { "#0072B2": "#56B4E9", "#B34F00": "#E8804A", "#007F5C": "#2BB58A", "#A8457E": "#DDA0C8", "#767676": "#A8A8A8" };

function swapped(value, colors) {
  if (Array.isArray(value)) return value.map((part) => swapped(part, colors));
  if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, swapped(part, colors)]));
  }
  return typeof value === "string" && value in colors ? colors[value] : value;
}

// Lines keep a modality's hue; small text takes its lighter form, ink and grid turn round.
function themed(figure, isDark) {
  const layout = swapped(figure.layout, isDark ? INK : {});
  layout.paper_bgcolor = layout.plot_bgcolor = isDark ? "#111111" : "#FFFFFF";
  if (isDark) layout.annotations = (layout.annotations || []).map((note) => swapped(note, WORDS));
  if (isDark) for (const key of Object.keys(layout).filter((name) => /^[xy]axis/.test(name) && layout[name].ticktext)) {
    layout[key].ticktext = layout[key].ticktext.map((text) => String(text).replace(/#[0-9A-F]{6}/gi, (color) => WORDS[color.toUpperCase()] ?? color));
  }
  return { data: swapped(figure.data, isDark ? INK : {}), layout };
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// Large figures stand in the page compressed. All are read before the first is drawn: a page that is printed cannot wait.
const FIGURES = new Map();

async function read(place) {
  const text = place.nextElementSibling.textContent;
  if (place.nextElementSibling.dataset.packed !== "gzip") return JSON.parse(text);
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

async function readFigures() {
  for (const place of document.querySelectorAll(".plot")) FIGURES.set(place, await read(place));
}

function draw(dark, width) {
  if (typeof Plotly === "undefined") return;
  for (const [place, figure] of FIGURES) {
    const { data, layout } = themed(figure, dark);
    if (width) layout.width = width;
    Plotly.react(place, data, layout, { responsive: !width, displaylogo: false, displayModeBar: false });
  }
}

// A page from a file may not be allowed to keep anything.
function keep(store, key, value) {
  try { store.setItem(key, value); } catch { /* then it is forgotten */ }
}

function kept(store, key) {
  try { return store.getItem(key); } catch { return null; }
}

function choose(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
  draw(theme === "dark");
}

function startTheme() {
  const theme = kept(localStorage, "theme");
  choose(theme === "dark" || theme === "light" ? theme : isDark() ? "dark" : "light");
  document.getElementById("theme")?.addEventListener("click", () => {
    const other = isDark() ? "light" : "dark";
    keep(localStorage, "theme", other);
    choose(other);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => choose(event.matches ? "dark" : "light"));
}

function startCode() {
  const codes = document.getElementById("codes");
  codes?.addEventListener("click", () => {
    const open = codes.getAttribute("aria-pressed") !== "true";
    for (const fold of document.querySelectorAll("details.code")) fold.open = open;
    codes.setAttribute("aria-pressed", String(open));
    codes.textContent = open ? "Hide all code" : "Show all code";
  });
}

function startPrint() {
  let shut = [];
  addEventListener("beforeprint", () => {
    shut = [...document.querySelectorAll("details:not([open]):not(.exports)")];
    for (const fold of shut) fold.open = true;
    draw(false, 660);
  });
  addEventListener("afterprint", () => {
    for (const fold of shut) fold.open = false;
    draw(isDark());
  });
}

// Numbers by their size (that of the cell's mean where it has one), words by the alphabet; what says nothing comes last.
function valueOf(row, place) {
  const cell = row.cells[place];
  const text = cell.dataset.value ?? cell.firstChild?.textContent?.replace(/[,\u2007\u2008]/g, "").replace("\u2212", "-").trim() ?? "";
  const number = parseFloat(text);
  return text === "" || text === "-" ? null : Number.isNaN(number) ? text : number;
}

function compared(first, second) {
  if (typeof first === "number" && typeof second === "number") return first - second;
  return String(first).localeCompare(String(second), "en", { numeric: true });
}

// Sorts inside each block; its name stays above, published rows below.
function sort(table, place, isDown) {
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("fixed"));
    const fixed = [...body.rows].filter((row) => row.classList.contains("fixed"));
    const known = rows.filter((row) => valueOf(row, place) !== null);
    known.sort((first, second) => compared(valueOf(first, place), valueOf(second, place)) * (isDown ? -1 : 1));
    const heads = fixed.filter((row) => row.classList.contains("block"));
    const published = fixed.filter((row) => !row.classList.contains("block"));
    body.append(...heads, ...known, ...rows.filter((row) => valueOf(row, place) === null), ...published);
  }
}

function startSorting(table) {
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const isDown = now ? now === "ascending" : head.textContent.includes("\u2191");  // better first
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
      sort(table, place, isDown);
    });
  });
}

function button(words, title, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: words, title });
  made.addEventListener("click", () => act(made));
  return made;
}

async function copy(text, pressed) {
  const range = document.createRange();
  range.selectNodeContents(text);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  let isDone = false;
  try { await navigator.clipboard.writeText(text.textContent); isDone = true; } catch { isDone = document.execCommand("copy"); }
  pressed.textContent = isDone ? "Copied" : "Selected: press Ctrl-C";
}

function save(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function startExports(form) {
  const text = form.querySelector("pre"), name = form.dataset.file;
  form.querySelector("p").append(
    " ", button("Copy", `Copy ${name}`, (pressed) => copy(text, pressed)), " ", button("Save", `Save ${name}`, () => save(text.textContent, name)),
  );
}

// The list of pages keeps what is shown; while a report runs the page comes anew, but never under somebody's hands.
function startIndex() {
  const choices = [...document.querySelectorAll("input[name=shown]")];
  for (const choice of choices) {
    choice.checked = choice.id === (kept(sessionStorage, "shown") || "show-all");
    choice.addEventListener("change", () => keep(sessionStorage, "shown", choice.id));
  }
  if (choices.length && !choices.some((choice) => choice.checked)) choices[0].checked = true;
  const seconds = Number(document.body.dataset.reload || 0);
  if (!seconds) return;
  const isBusy = () => document.querySelector("main details[open], main th[aria-sort]") || String(getSelection());
  setInterval(() => {
    const words = document.getElementById("reload");
    if (!isBusy()) location.reload();
    else words.textContent = "still running; this page waits while something in it is open";
  }, seconds * 1000);
}

async function start() {
  await readFigures();
  startTheme();
  startCode();
  startPrint();
  document.querySelectorAll("table.scores").forEach(startSorting);
  document.querySelectorAll(".exports section").forEach(startExports);
  startIndex();
  document.documentElement.dataset.drawn = "yes";
}

document.addEventListener("DOMContentLoaded", start);
