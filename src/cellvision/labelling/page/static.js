"use strict";

/* Without a server: the browser keeps the answers, and saves them as a table to send back. */

const backend = (() => {
  const session = JSON.parse(document.getElementById("session").textContent);
  const storageKey = (name) => `cellvision-label ${session.page} ${name.toLowerCase()}`;
  const practice = session.showings.filter((showing) => "truth" in showing).length;
  const pictures = new Map([...session.showings, ...session.examples].map((entry) => [entry.id, entry]));
  let rater = null;

  function read(name) {
    const stored = localStorage.getItem(storageKey(name));
    return stored ? JSON.parse(stored) : { name, answers: [] };
  }

  function write() {
    localStorage.setItem(storageKey(rater.name), JSON.stringify(rater));
    localStorage.setItem(storageKey(""), rater.name);
  }

  function state() {
    const done = rater.answers.length;
    const ids = session.showings.map((showing) => showing.id);
    const practising = done < practice;
    return {
      key: rater.name, name: rater.name,
      phase: practising ? "practice" : done < ids.length ? "test" : "done",
      done: practising ? done : done - practice,
      total: practising ? practice : ids.length - practice,
      showing: ids[done] || null, following: ids[done + 1] || null,
    };
  }

  /* The same rules as check_rater in validation.py, which checks the returned table. */
  function checkRater(text) {
    const name = text.trim().replace(/\s+/g, " ").normalize("NFC");
    const control = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Co}]/u;
    if (!name || [...name].length > 80) throw new Error("A name has 1 to 80 characters");
    if (control.test(name)) throw new Error("A name must not contain control characters");
    if (/^[=+\-@]/.test(name)) throw new Error(`A name must not start with ${name[0]}`);
    return name;
  }

  /* As in csv_cells.py: an apostrophe keeps spreadsheets from reading a formula. */
  function cell(value) {
    let text = value === null ? "" : String(value);
    if (typeof value === "string" && /^'*[=+\-@\t\r\n]/.test(text)) text = `'${text}`;
    return `"${text.replaceAll('"', '""')}"`;
  }

  return {
    saves: "Save the answers as a table (CSV) and send it back.",
    async session() { return session; },
    async begin(text) {
      rater = read(checkRater(text));
      write();
      return state();
    },
    async resume() {
      const name = localStorage.getItem(storageKey(""));
      if (!name) return null;
      rater = read(name);
      return state();
    },
    async answer(_, answer, seconds) {
      const showing = session.showings[rater.answers.length];
      rater.answers.push({ showing: showing.id, answer, seconds, time: new Date().toISOString() });
      write();
      return "truth" in showing ? { ...state(), truth: showing.truth } : state();
    },
    async undo() {
      if (rater.answers.length > practice) rater.answers.pop();
      write();
      return state();
    },
    picture: (id, view) => pictures.get(id)[view],
    redraws: false,
    table() {
      const rows = rater.answers.map((entry) =>
        [session.page, rater.name, entry.showing, entry.answer, entry.seconds, entry.time]);
      const columns = ["page", "rater", "showing", "answer", "seconds", "time"];
      return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
    },
    file: () => `answers-${rater.name.replace(/[^\p{L}\p{N}]+/gu, "-")}.csv`,
    leave: () => localStorage.removeItem(storageKey("")),
  };
})();
