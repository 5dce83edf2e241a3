"use strict";

/* Send answers to the server of this page; an answer counts once the server confirms it. */

const backend = (() => {
  const RETRY = 1500;

  function recall(name) {
    try { return sessionStorage.getItem(name) || ""; } catch { return ""; }
  }

  function remember(name, value) {
    try { sessionStorage.setItem(name, value); } catch { /* a reload asks for the name again */ }
  }

  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  async function request(path, body) {
    for (;;) {
      let response;
      try {
        response = await fetch(path, body === undefined ? {} : {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        });
      } catch {
        ui.notice("Not saved yet: cellvision label does not respond. Run the same command again; " +
          "this page then continues by itself.");
        await wait(RETRY);
        continue;
      }
      if (response.status >= 500) {
        ui.notice("Not saved yet: cellvision label cannot write its file. See its terminal. " +
          "This page keeps trying.");
        await wait(RETRY);
        continue;
      }
      ui.notice("");
      const type = response.headers.get("content-type") || "";
      const reply = type.startsWith("application/json") ? await response.json() : null;
      if (response.ok) return reply;
      if (response.status === 409 && reply) return { ...reply.state, stale: reply.error };
      throw new Error(reply ? reply.error : await response.text());
    }
  }

  async function rememberRater(response) {
    const state = await response;
    remember("rater", state.key);
    return state;
  }

  return {
    saves: "All answers are saved.",
    session: () => request("session"),
    begin: (name) => rememberRater(request("begin", { name })),
    async resume() {
      const rater = recall("rater");
      if (!rater) return null;
      try { return await request("resume", { rater }); } catch { return null; }
    },
    answer: (state, answer, seconds) =>
      request("answer", { rater: state.key, showing: state.showing, answer, seconds }),
    undo: (state) => request("undo", { rater: state.key }),
    picture: (showing, view, low, high) =>
      `image/${showing}/${view}.png?window=${low.toFixed(3)},${high.toFixed(3)}`,
    redraws: true,
    leave: () => remember("rater", ""),
  };
})();
