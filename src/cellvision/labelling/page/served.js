"use strict";

/* Answers go to the server that this page came from, and count once it says so. */

const backend = (() => {
  const RETRY = 1500;

  function memory(name) {
    try { return sessionStorage.getItem(name) || ""; } catch { return ""; }
  }

  function remember(name, value) {
    try { sessionStorage.setItem(name, value); } catch { /* then a reload asks again */ }
  }

  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  async function ask(path, body) {
    for (;;) {
      let response;
      try {
        response = await fetch(path, body === undefined ? {} : {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        });
      } catch {
        ui.notice("Not saved yet: cellvision label does not answer. Start it again with the " +
          "same command; this page then goes on by itself.");
        await wait(RETRY);
        continue;
      }
      if (response.status >= 500) {
        ui.notice("Not saved yet: cellvision label cannot write its file; its terminal says " +
          "why. This page keeps trying.");
        await wait(RETRY);
        continue;
      }
      ui.notice("");
      const type = response.headers.get("content-type") || "";
      const told = type.startsWith("application/json") ? await response.json() : null;
      if (response.ok) return told;
      if (response.status === 409 && told) return { ...told.state, stale: told.error };
      throw new Error(told ? told.error : await response.text());
    }
  }

  async function keep(asked) {
    const state = await asked;
    remember("rater", state.key);
    return state;
  }

  return {
    saves: "Every answer is in the file of cellvision label.",
    session: () => ask("session"),
    begin: (name) => keep(ask("begin", { name })),
    async resume() {
      const rater = memory("rater");
      if (!rater) return null;
      try { return await ask("resume", { rater }); } catch { return null; }
    },
    answer: (state, answer, seconds) =>
      ask("answer", { rater: state.key, showing: state.showing, answer, seconds }),
    undo: (state) => ask("undo", { rater: state.key }),
    picture: (showing, view, low, high) =>
      `image/${showing}/${view}.png?window=${low.toFixed(3)},${high.toFixed(3)}`,
    redraws: true,
    leave: () => remember("rater", ""),
  };
})();
