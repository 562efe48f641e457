// Events from Howdah, and whether anybody wants them.

import { say } from "./dom.js";

const listeners = new Set();
let paused = false;
let source = null;
let lost = false;

/** Calls `listener` with each event from now on; what is returned ends that. */
export function onNow(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const isPaused = () => paused;

/** Begins to listen, and keeps the sign of it and the button up to date. `back` is called when the connection is
    there again after it was lost: what was missed must be read. */
export function start(back) {
  const sign = document.getElementById("live");
  const button = document.getElementById("pause");
  const show = (state, text) => {
    sign.dataset.state = state;
    say(sign, text);
  };
  const open = () => {
    source = new EventSource("events");
    source.addEventListener("open", () => {
      show("live", "Live");
      if (lost) back();
      lost = false;
    });
    source.addEventListener("now", (event) => {
      const now = JSON.parse(event.data);
      for (const listener of [...listeners]) listener(now);
    });
    source.addEventListener("error", () => {
      lost = true;
      // An answer that ended is followed by another one in a moment: nobody needs to be told.
      setTimeout(() => {
        if (!paused && source.readyState !== EventSource.OPEN) show("lost", "No connection");
      }, 4000);
      if (source.readyState === EventSource.CLOSED) setTimeout(() => !paused && open(), 5000);
    });
  };
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    say(button, paused ? "Resume" : "Pause");
    if (paused) {
      source.close();
      lost = true;
      show("paused", "Paused");
    } else {
      show("connecting", "Connecting");
      open();
    }
  });
  // A browser has few connections for each site: a page that nobody sees gives its own back.
  let leaving;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(leaving);
    if (paused) return;
    if (document.hidden) {
      leaving = setTimeout(() => {
        source.close();
        lost = true;
      }, 20_000);
    } else if (source.readyState === EventSource.CLOSED) open();
  });
  open();
}
