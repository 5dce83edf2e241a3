"use strict";

const by = (id) => document.getElementById(id);

const ui = {
  notice(text) {
    by("notice").textContent = text;
    by("notice").hidden = !text;
  },
};

let session = null;   // classes, keys, contrast
let state = null;     // the rater's progress
let busy = true;      // while an image or an answer is in transit, no answer is accepted
let shownAt = 0;      // time at which the image appeared
let proceed = null;   // action of Enter on a pause or after feedback

const imageCount = (number, kind = "") => `${number} ${kind}image${number === 1 ? "" : "s"}`;

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
  proceed = () => { proceed = null; then(); };
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
  by("end-text").textContent = `${state.name} labelled ${imageCount(state.total)}. ${backend.saves}`;
  show("end");
  busy = false;
}

/* --- one image ----------------------------------------------------------------------- */

let prefetch = { key: "", images: null };  // the next image, loading while this one is on view

function load(showing) {
  const key = backend.redraws ? `${showing} ${view.low} ${view.high}` : showing;
  if (prefetch.key !== key) prefetch = { key, images: fetchImages(showing) };
  return prefetch.images;
}

function fetchImages(showing) {
  const images = Promise.all(session.views.map(async (name) => {
    const image = new Image();
    image.src = backend.picture(showing, name, view.low, view.high);
    await image.decode();
    return image;
  }));
  images.catch(() => { prefetch = { key: "", images: null }; });
  return images;
}

async function draw() {
  const showing = state.showing;
  const images = await load(showing);
  if (state.showing !== showing) return;
  session.views.forEach((name, number) => {
    const old = by(name), image = images[number];
    if (old !== image) {
      Object.assign(image, { id: name, alt: old.alt, draggable: false });
      old.replaceWith(image);
    }
    by(`${name}-size`).textContent = `${image.naturalWidth} × ${image.naturalHeight} pixels`;
  });
  position();
}

async function next() {
  busy = true;
  if (state.phase === "done") return end();
  show("work");
  by("feedback").hidden = true;
  by("answers").classList.remove("answered");
  progress();
  for (const button of by("classes").children) button.classList.remove("chosen");
  by("main-view").classList.add("waiting");
  try {
    await draw();
  } catch {
    ui.notice("This image cannot be displayed: its file is missing or has changed, or cellvision " +
      "label has stopped. See its terminal, then reload this page.");
    return;
  }
  by("main-view").classList.remove("waiting");
  busy = false;
  shownAt = performance.now();
  if (state.following) load(state.following).catch(() => {});
}

/* --- answers ------------------------------------------------------------------------- */

async function answer(name) {
  if (busy) return;
  busy = true;
  const seconds = Math.round(performance.now() - shownAt) / 1000;
  const before = state;
  for (const button of by("classes").children)
    button.classList.toggle("chosen", button.answer === name);
  try {
    state = await backend.answer(state, name, seconds);
  } catch (error) {
    ui.notice(`Not saved: ${error.message}. Reload this page.`);
    return;
  }
  if (state.stale) {
    by("status").textContent = "This image was answered in another window. This is the next one.";
    return next();
  }
  if ("truth" in state) return feedback(name, state.truth);
  by("status").textContent = `Image ${before.done + 1}: ${named(name)}, saved.`;
  const pauseDue = session.breaks && state.phase === "test" && state.done % session.breaks === 0;
  if (!pauseDue) return next();
  pause(`${state.done} of ${state.total} done`,
    "Time for a break: rest your eyes for a moment. All answers are saved.", next);
}

function feedback(answer, truth) {
  const right = answer === truth;
  const panel = by("feedback");
  panel.className = right ? "right" : answer === null ? "" : "wrong";
  panel.replaceChildren();
  const mark = document.createElement("b");
  if (right) mark.textContent = `✓ Correct: ${truth}`;
  else mark.textContent = answer === null ? `It is ${truth}` : `✗ It is ${truth}, not ${answer}`;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "main";
  button.innerHTML = "Continue <kbd>Enter</kbd>";
  button.addEventListener("click", () => proceed && proceed());
  panel.append(mark, button);
  panel.hidden = false;
  by("answers").classList.add("answered");
  by("status").textContent = "";
  proceed = () => {
    proceed = null;
    if (state.phase === "practice") return next();
    startTest();
  };
}

function startTest() {
  const verb = state.total === 1 ? "follows" : "follow";
  pause("Now the real images", `${imageCount(state.total)} ${verb}, without feedback. ` +
    "Take your time: speed does not count.", next);
}

async function undo() {
  if (busy || proceed || !state || state.phase === "practice" || state.done === 0) return;
  busy = true;
  state = await backend.undo(state);
  by("status").textContent = `Undone: the answer to image ${state.done + 1}.`;
  next();
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
  "0": reset, "?": help,
};

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || by("help-panel").open) return;
  if (!by("start").hidden || !session) return;
  const target = event.target;
  if (proceed) {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    if (!event.repeat) proceed();
    return;
  }
  if (target.type === "range" && event.key.startsWith("Arrow")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const choice = choices().find((entry) => entry.key === key);
  if (choice && !by("work").hidden) {
    event.preventDefault();
    if (!event.repeat) answer(choice.answer);  // a key that is held down is one answer
  } else if (key in COMMANDS && (!by("work").hidden || COMMANDS[key] === undo)) {
    event.preventDefault();
    if (COMMANDS[key] !== undo || !event.repeat) COMMANDS[key]();
  }
}

function enableDragging(frame) {
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

/* --- classes and help ---------------------------------------------------------------- */

const CANNOT_SAY = "Cannot say";
const named = (answer) => (answer === null ? CANNOT_SAY.toLowerCase() : answer);

/* The answers on offer; null is "cannot say". */
const choices = () => [
  ...session.classes.map(({ name, key }) => ({ answer: name, label: name, key })),
  { answer: null, label: CANNOT_SAY, key: session.cannot_say },
];

function addChoices() {
  for (const { answer: value, label: text, key } of choices()) {
    const button = document.createElement("button");
    button.type = "button";
    button.answer = value;
    button.classList.toggle("cannot-say", value === null);
    const hint = document.createElement("kbd");
    hint.textContent = key.toUpperCase();
    button.append(hint, text);
    button.addEventListener("click", () => { button.blur(); answer(value); });
    by("classes").append(button);
    const row = by("class-keys").insertRow();
    row.insertCell().append(hint.cloneNode(true));
    row.insertCell().textContent = value === null ? `${text}: continue without a class` : text;
  }
  by("classes").classList.toggle("many", session.classes.length > 8);
}

function help() {
  const list = by("example-classes");
  for (const { name, examples } of list.childElementCount ? [] : session.classes) {
    if (!examples.length) continue;
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = name;
    figure.append(caption, ...examples.map((id, number) => {
      const image = new Image();
      image.alt = `Example ${number + 1} of ${name}`;
      image.src = backend.picture(id, "native", ...session.window);
      return image;
    }));
    list.append(figure);
  }
  by("examples").hidden = !list.childElementCount;
  by("help-panel").showModal();
  by("help-panel").scrollTop = 0;
}

function wire() {
  addChoices();
  by("seen").closest("figure").hidden = !session.views.includes("seen");
  by("main-view").classList.toggle("single", session.views.length === 1);
  document.addEventListener("keydown", onKey);
  addEventListener("resize", position);
  for (const frame of document.querySelectorAll(".frame")) enableDragging(frame);
  const on = (id, work) => by(id).addEventListener("click", work);
  on("undo", undo);
  on("end-undo", undo);
  on("continue", () => proceed && proceed());
  on("help", help);
  on("reset", reset);
  on("zoom-in", () => zoom(1.5));
  on("zoom-out", () => zoom(1 / 1.5));
  by("low").addEventListener("input", () => contrast(by("low").value / STEPS, view.high));
  by("high").addEventListener("input", () => {
    const high = by("high").value / STEPS;
    contrast(Math.min(view.low, high - 0.002), high);
  });
  by("name-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!by("name").value.trim()) return;
    try {
      const progress = await backend.begin(by("name").value);
      ui.notice("");
      enter(progress);
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
  const said = `Saved as ${backend.file()} in the folder of your downloads: send this file back.`;
  by(by("end").hidden ? "status" : "end-text").textContent = said;
}

function enter(progress) {
  state = progress;
  if (state.phase === "done") return end();
  if (state.done) {
    by("status").textContent = `Resumed at image ${state.done + 1}, ${state.name}.`;
    return next();
  }
  if (state.phase === "test") return next();
  pause("Practice", `First, ${imageCount(state.total, "practice ")}. After each answer you see the ` +
    "true class. These answers do not count.", next);
}

async function main() {
  try {
    session = await backend.session();
    wire();
    contrast(...session.window);
    const progress = await backend.resume();
    if (progress) enter(progress);
    else show("start");
  } catch (error) {
    ui.notice(`This page cannot start: ${error.message}`);
  }
}

main();
