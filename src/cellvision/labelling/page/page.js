"use strict";

const by = (id) => document.getElementById(id);

const ui = {
  notice(text) {
    by("notice").textContent = text;
    by("notice").hidden = !text;
  },
};

const view = { low: 0, high: 1, zoom: 1, x: 0.5, y: 0.5 };
const STEPS = 1000;
const MOST_ZOOM = 16;
let about = null;     // the session: classes, keys, contrast
let state = null;     // how far the rater is
let busy = true;      // no answer is taken: an image is on its way, or an answer
let since = 0;        // when the image appeared
let goOn = null;      // what Enter does on a pause or after feedback

/* --- screens ------------------------------------------------------------------------- */

function show(screen) {
  for (const id of ["start", "work", "pause", "end"]) by(id).hidden = id !== screen;
  if (screen === "start") by("name").focus();
  if (screen === "pause") by("pause-title").focus();
  if (screen === "end") by("end-title").focus();
}

function pause(title, text, then) {
  by("pause-title").textContent = title;
  by("pause-text").textContent = text;
  show("pause");
  goOn = () => { goOn = null; then(); };
}

function progress() {
  const { done, total, phase } = state;
  by("count").textContent =
    `${phase === "practice" ? "Practice" : "Image"} ${Math.min(done + 1, total)} of ${total}`;
  by("progress").setAttribute("aria-valuemax", total);
  by("progress").setAttribute("aria-valuenow", done);
  by("progress").firstElementChild.style.width = `${(100 * done) / total}%`;
  by("rater").textContent = state.name;
  by("undo").disabled = phase === "practice" || done === 0;
  document.body.dataset.done = done;
  document.body.dataset.phase = phase;
}

function end() {
  progress();
  by("end-text").textContent = `${state.name}, ${state.total} images are labelled. ${backend.saves}`;
  show("end");
  busy = false;
}

/* --- one image ----------------------------------------------------------------------- */

const VIEWS = ["native", "seen"];
let ahead = { key: "", images: null };  // the next image, on its way while this one is looked at

function load(showing) {
  const key = backend.redraws ? `${showing} ${view.low} ${view.high}` : showing;
  if (ahead.key !== key) ahead = { key, images: fetched(showing) };
  return ahead.images;
}

function fetched(showing) {
  const images = Promise.all(VIEWS.map(async (name) => {
    const image = new Image();
    image.src = backend.picture(showing, name, view.low, view.high);
    await image.decode();
    return image;
  }));
  images.catch(() => { ahead = { key: "", images: null }; });
  return images;
}

async function draw() {
  const showing = state.showing;
  const images = await load(showing);
  if (state.showing !== showing) return;
  VIEWS.forEach((name, number) => {
    const old = by(name), image = images[number];
    if (old !== image) {
      Object.assign(image, { id: name, alt: old.alt, draggable: false });
      old.replaceWith(image);
    }
    by(`${name}-size`).textContent = `${image.naturalWidth} × ${image.naturalHeight} pixels`;
  });
  place();
}

async function next() {
  busy = true;
  if (state.phase === "done") return end();
  show("work");
  by("verdict").hidden = true;
  by("answers").classList.remove("told");
  progress();
  for (const button of by("classes").children) button.classList.remove("chosen");
  by("main-view").classList.add("waiting");
  try {
    await draw();
  } catch {
    ui.notice("This image cannot be shown: its file is missing or has changed, or cellvision " +
      "label has ended. Its terminal says more. Then reload this page.");
    return;
  }
  by("main-view").classList.remove("waiting");
  busy = false;
  since = performance.now();
  if (state.following) load(state.following).catch(() => {});
}

/* --- answers ------------------------------------------------------------------------- */

async function answer(name) {
  if (busy) return;
  busy = true;
  const seconds = Math.round(performance.now() - since) / 1000;
  const before = state;
  for (const button of by("classes").children)
    button.classList.toggle("chosen", button.dataset.name === name);
  try {
    state = await backend.answer(state, name, seconds);
  } catch (error) {
    ui.notice(`Not saved: ${error.message}. Reload this page.`);
    return;
  }
  if (state.stale) {
    by("said").textContent = "This image was answered in another window; here is the next one.";
    return next();
  }
  if ("truth" in state) return feedback(name, state.truth);
  by("said").textContent = `Image ${before.done + 1}: ${name}, saved.`;
  const rest = about.breaks && state.phase === "test" && state.done % about.breaks === 0;
  if (!rest) return next();
  pause(`${state.done} of ${state.total} done`,
    "Time for a rest: look at something far away for a moment. Everything so far is saved.", next);
}

function feedback(given, truth) {
  const right = given === truth;
  const verdict = by("verdict");
  verdict.className = right ? "right" : "wrong";
  verdict.replaceChildren();
  const mark = document.createElement("b");
  mark.textContent = right ? `✓ Right: ${truth}` : `✗ It is ${truth}, not ${given}`;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "main";
  button.innerHTML = "Go on <kbd>Enter</kbd>";
  button.addEventListener("click", () => goOn && goOn());
  verdict.append(mark, button);
  verdict.hidden = false;
  by("answers").classList.add("told");
  by("said").textContent = "";
  goOn = () => {
    goOn = null;
    if (state.phase === "practice") return next();
    begin();
  };
}

function begin() {
  pause("Now the real images", `${state.total} images, without the right answers. ` +
    "Take your time: nobody measures speed.", next);
}

async function undo() {
  if (busy || goOn || !state || state.phase === "practice" || state.done === 0) return;
  busy = true;
  state = await backend.undo(state);
  by("said").textContent = `The answer to image ${state.done + 1} is taken back.`;
  next();
}

/* --- contrast and zoom --------------------------------------------------------------- */

function label(share) {
  if (!about.range) return `${Math.round(100 * share)} %`;
  const value = about.range[0] + share * (about.range[1] - about.range[0]);
  return Math.abs(value) < 10 && value % 1 ? value.toFixed(2) : String(Math.round(value));
}

let drawing = false;
let again = false;

async function contrast(low, high) {
  view.low = Math.min(Math.max(low, 0), 1 - 0.002);
  view.high = Math.min(Math.max(high, view.low + 0.002), 1);
  by("low").value = view.low * STEPS;
  by("high").value = view.high * STEPS;
  for (const name of ["low", "high"]) {
    by(`${name}-value`).textContent = label(view[name]);
    by(name).setAttribute("aria-valuetext", label(view[name]));
  }
  if (!backend.redraws) return filtered();
  if (!state || !state.showing || by("work").hidden) return;
  again = drawing;
  if (drawing) return;
  drawing = true;
  do {  // one picture at a time; the last setting wins
    again = false;
    await draw().catch(() => {});
  } while (again);
  drawing = false;
}

function filtered() {
  by("main-view").classList.add("windowed");
  const slope = 1 / (view.high - view.low);
  for (const channel of document.querySelectorAll("#window [type=linear]")) {
    channel.setAttribute("slope", slope);
    channel.setAttribute("intercept", -view.low * slope);
  }
}

function zoom(factor, x = view.x, y = view.y) {
  const before = view.zoom;
  view.zoom = Math.min(Math.max(before * factor, 1), MOST_ZOOM);
  // The point (x, y) of the image stays where it is.
  view.x = x + (view.x - x) * (before / view.zoom);
  view.y = y + (view.y - y) * (before / view.zoom);
  place();
}

function move(dx, dy) {
  view.x += dx / view.zoom;
  view.y += dy / view.zoom;
  place();
}

function place() {
  const half = 0.5 / view.zoom;
  view.x = Math.min(Math.max(view.x, half), 1 - half);
  view.y = Math.min(Math.max(view.y, half), 1 - half);
  const across = (0.5 - view.x) * 100, down = (0.5 - view.y) * 100;
  for (const name of VIEWS) {
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
  place();
  contrast(...about.window);
}

/* --- keys, mouse, touch -------------------------------------------------------------- */

const STEP = 0.02;
const COMMANDS = {
  "u": undo, "Backspace": undo,
  ".": () => contrast(view.low, view.high - STEP), ",": () => contrast(view.low, view.high + STEP),
  ">": () => contrast(view.low - STEP, view.high), ":": () => contrast(view.low - STEP, view.high),
  "<": () => contrast(view.low + STEP, view.high), ";": () => contrast(view.low + STEP, view.high),
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "_": () => zoom(1 / 1.5),
  "ArrowLeft": () => move(-0.1, 0), "ArrowRight": () => move(0.1, 0),
  "ArrowUp": () => move(0, -0.1), "ArrowDown": () => move(0, 0.1),
  "0": reset, "?": () => by("keys").showModal(),
};

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || by("keys").open) return;
  if (!by("start").hidden || !about) return;
  const target = event.target;
  if (goOn) {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    if (!event.repeat) goOn();
    return;
  }
  if (target.type === "range" && event.key.startsWith("Arrow")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const found = about.classes.find((each) => each.key === key);
  if (found && !by("work").hidden) {
    event.preventDefault();
    if (!event.repeat) answer(found.name);  // a key that is held down is one answer
  } else if (key in COMMANDS && (!by("work").hidden || COMMANDS[key] === undo)) {
    event.preventDefault();
    if (COMMANDS[key] !== undo || !event.repeat) COMMANDS[key]();
  }
}

function dragged(frame) {
  let last = null;
  frame.addEventListener("pointerdown", (event) => {
    last = event;
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", (event) => {
    if (!last || last.pointerId !== event.pointerId) return;
    move((last.clientX - event.clientX) / frame.clientWidth,
      (last.clientY - event.clientY) / frame.clientHeight);
    last = event;
  });
  for (const name of ["pointerup", "pointercancel"])
    frame.addEventListener(name, () => { last = null; });
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = frame.getBoundingClientRect();
    const x = view.x + ((event.clientX - box.left) / box.width - 0.5) / view.zoom;
    const y = view.y + ((event.clientY - box.top) / box.height - 0.5) / view.zoom;
    zoom(event.deltaY < 0 ? 1.25 : 0.8, x, y);
  }, { passive: false });
}

function wire() {
  for (const { name, key } of about.classes) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.name = name;
    const hint = document.createElement("kbd");
    hint.textContent = key.toUpperCase();
    button.append(hint, name);
    button.addEventListener("click", () => { button.blur(); answer(name); });
    by("classes").append(button);
    const row = by("class-keys").insertRow();
    row.insertCell().append(hint.cloneNode(true));
    row.insertCell().textContent = name;
  }
  by("classes").classList.toggle("many", about.classes.length > 9);
  document.addEventListener("keydown", pressed);
  addEventListener("resize", place);
  for (const frame of document.querySelectorAll(".frame")) dragged(frame);
  const on = (id, work) => by(id).addEventListener("click", work);
  on("undo", undo);
  on("end-undo", undo);
  on("go-on", () => goOn && goOn());
  on("help", () => by("keys").showModal());
  on("reset", reset);
  on("zoom-in", () => zoom(1.5));
  on("zoom-out", () => zoom(1 / 1.5));
  by("low").addEventListener("input", () => contrast(by("low").value / STEPS, view.high));
  by("high").addEventListener("input", () => {
    const high = by("high").value / STEPS;
    contrast(Math.min(view.low, high - 0.002), high);
  });
  by("who").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!by("name").value.trim()) return;
    try {
      enter(await backend.begin(by("name").value));
    } catch (error) {
      ui.notice(`${error.message}.`);
    }
  });
  for (const button of document.querySelectorAll(".save")) button.addEventListener("click", save);
  for (const button of document.querySelectorAll(".leave"))
    button.addEventListener("click", () => { backend.leave(); location.reload(); });
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", backend.table()], { type: "text/csv" }));
  link.download = backend.file();
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function enter(found) {
  state = found;
  if (state.phase === "done") return end();
  if (state.done) {
    by("said").textContent = `Going on with image ${state.done + 1}, ${state.name}.`;
    return next();
  }
  if (state.phase === "test") return next();
  pause("First some practice", `${state.total} images for practice, and after each the right ` +
    "answer. They do not count.", next);
}

async function main() {
  try {
    about = await backend.session();
    wire();
    contrast(...about.window);
    const found = await backend.resume();
    if (found) enter(found);
    else show("start");
  } catch (error) {
    ui.notice(`This page cannot work: ${error.message}`);
  }
}

main();
