"use strict";

/* Contrast and zoom, the same for both pictures. */

const view = { low: 0, high: 1, zoom: 1, x: 0.5, y: 0.5 };
const STEPS = 1000;
const MAX_ZOOM = 16;

function label(share) {
  if (!session.range) return `${Math.round(100 * share)} %`;
  const value = session.range[0] + share * (session.range[1] - session.range[0]);
  return Math.abs(value) < 10 && value % 1 ? value.toFixed(2) : String(Math.round(value));
}

let drawing = false;
let redraw = false;

async function contrast(low, high) {
  view.low = Math.min(Math.max(low, 0), 1 - 0.002);
  view.high = Math.min(Math.max(high, view.low + 0.002), 1);
  by("low").value = view.low * STEPS;
  by("high").value = view.high * STEPS;
  for (const name of ["low", "high"]) {
    by(`${name}-value`).textContent = label(view[name]);
    by(name).setAttribute("aria-valuetext", label(view[name]));
  }
  if (!backend.redraws) return applyFilter();
  if (!state || !state.showing || by("work").hidden) return;
  redraw = drawing;
  if (drawing) return;
  drawing = true;
  do {  // one picture at a time; the last setting wins
    redraw = false;
    await draw().catch(() => {});
  } while (redraw);
  drawing = false;
}

function applyFilter() {
  document.body.classList.add("windowed");
  const slope = 1 / (view.high - view.low);
  for (const channel of document.querySelectorAll("#window [type=linear]")) {
    channel.setAttribute("slope", slope);
    channel.setAttribute("intercept", -view.low * slope);
  }
}

function zoom(factor, x = view.x, y = view.y) {
  const before = view.zoom;
  view.zoom = Math.min(Math.max(before * factor, 1), MAX_ZOOM);
  // The point (x, y) of the image stays where it is.
  view.x = x + (view.x - x) * (before / view.zoom);
  view.y = y + (view.y - y) * (before / view.zoom);
  position();
}

function move(dx, dy) {
  view.x += dx / view.zoom;
  view.y += dy / view.zoom;
  position();
}

function position() {
  const half = 0.5 / view.zoom;
  view.x = Math.min(Math.max(view.x, half), 1 - half);
  view.y = Math.min(Math.max(view.y, half), 1 - half);
  const across = (0.5 - view.x) * 100, down = (0.5 - view.y) * 100;
  for (const name of session.views) {
    const image = by(name), frame = image.parentElement;
    image.style.transform = `scale(${view.zoom}) translate(${across}%, ${down}%)`;
    frame.classList.toggle("zoomed", view.zoom > 1);
    const scale = view.zoom * Math.min(
      frame.clientWidth / image.naturalWidth, frame.clientHeight / image.naturalHeight);
    image.classList.toggle("large", scale * devicePixelRatio > 1.5);
  }
  by("zoom-value").textContent = `${Number(view.zoom.toFixed(1))}×`;
}

function reset() {
  Object.assign(view, { zoom: 1, x: 0.5, y: 0.5 });
  position();
  contrast(...session.window);
}
