// Draws the figures that stand in the page as data, in the page's theme; folds; the theme button. Nothing is fetched.
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
  return { data: swapped(figure.data, isDark ? INK : {}), layout };
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function draw(dark, width) {
  if (typeof Plotly === "undefined") return;
  for (const place of document.querySelectorAll(".plot")) {
    const figure = JSON.parse(place.nextElementSibling.textContent);
    const { data, layout } = themed(figure, dark);
    if (width) layout.width = width;
    Plotly.react(place, data, layout, { responsive: !width, displaylogo: false, displayModeBar: false });
  }
}

function remember(theme) {
  try { localStorage.setItem("theme", theme); } catch { /* a page from a file may not keep anything */ }
}

function choose(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
  draw(theme === "dark");
}

function start() {
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* as above */ }
  choose(kept === "dark" || kept === "light" ? kept : isDark() ? "dark" : "light");
  document.getElementById("theme")?.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    remember(theme);
    choose(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => choose(event.matches ? "dark" : "light"));
  const codes = document.getElementById("codes");
  codes?.addEventListener("click", () => {
    const open = codes.getAttribute("aria-pressed") !== "true";
    for (const fold of document.querySelectorAll("details.code")) fold.open = open;
    codes.setAttribute("aria-pressed", String(open));
    codes.textContent = open ? "Hide all code" : "Show all code";
  });
  let shut = [];
  addEventListener("beforeprint", () => {
    shut = [...document.querySelectorAll("details:not([open])")];
    for (const fold of shut) fold.open = true;
    draw(false, 660);
  });
  addEventListener("afterprint", () => {
    for (const fold of shut) fold.open = false;
    draw(isDark());
  });
  document.documentElement.dataset.drawn = "yes";
}

document.addEventListener("DOMContentLoaded", start);
