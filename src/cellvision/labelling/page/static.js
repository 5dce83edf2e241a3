"use strict";

/* Without a server: answers are kept by the browser, and saved as a table that is sent back. */

const backend = (() => {
  const told = JSON.parse(document.getElementById("session").textContent);
  const place = (name) => `cellvision-label ${told.page} ${name.toLowerCase()}`;
  const practised = told.showings.filter((showing) => "truth" in showing).length;
  let rater = null;

  function read(name) {
    const kept = localStorage.getItem(place(name));
    return kept ? JSON.parse(kept) : { name, answers: [] };
  }

  function write() {
    localStorage.setItem(place(rater.name), JSON.stringify(rater));
    localStorage.setItem(place(""), rater.name);
  }

  function state() {
    const done = rater.answers.length;
    const ids = told.showings.map((showing) => showing.id);
    const practice = done < practised;
    return {
      key: rater.name, name: rater.name,
      phase: practice ? "practice" : done < ids.length ? "test" : "done",
      done: practice ? done : done - practised,
      total: practice ? practised : ids.length - practised,
      showing: ids[done] || null, following: ids[done + 1] || null,
    };
  }

  const cell = (value) => `"${String(value).replaceAll('"', '""')}"`;

  return {
    saves: "Save the answers as a table (CSV) and send it back.",
    async session() { return told; },
    async begin(given) {
      const name = given.trim().replace(/\s+/g, " ").normalize("NFC");
      rater = read(name);
      write();
      return state();
    },
    async resume() {
      const name = localStorage.getItem(place(""));
      if (!name) return null;
      rater = read(name);
      return state();
    },
    async answer(_, answer, seconds) {
      const showing = told.showings[rater.answers.length];
      rater.answers.push({ showing: showing.id, answer, seconds, time: new Date().toISOString() });
      write();
      return "truth" in showing ? { ...state(), truth: showing.truth } : state();
    },
    async undo() {
      if (rater.answers.length > practised) rater.answers.pop();
      write();
      return state();
    },
    picture: (showing, view) => told.showings.find((each) => each.id === showing)[view],
    redraws: false,
    table() {
      const rows = rater.answers.map((each) =>
        [told.page, rater.name, each.showing, each.answer, each.seconds, each.time]);
      const head = ["page", "rater", "showing", "answer", "seconds", "time"];
      return [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
    },
    file: () => `answers-${rater.name.replace(/[^\p{L}\p{N}]+/gu, "-")}.csv`,
    leave: () => localStorage.removeItem(place("")),
  };
})();
