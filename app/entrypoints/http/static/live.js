// The live tab: captions from the microphone.

import { tap } from "./microphone.js";
import { Realtime } from "./realtime.js";
import { refused, say, show } from "./say.js";

const RATE_HZ = 24_000; // what the hosted API takes too
const $ = (id) => document.getElementById(id);

let stop = null; // ends what runs

export function setUpLive(onDone) {
  $("listen").addEventListener("click", async () => {
    if (stop) {
      stop();
      return;
    }
    $("listen").disabled = true;
    try {
      await listen(onDone);
    } catch (failure) {
      ended();
      refused($("live-error"), failure);
    } finally {
      $("listen").disabled = false;
    }
  });
}

async function listen(onDone) {
  show($("live-error"), "");
  say($("live-status"), "Connecting…");
  const session = new Realtime();
  const microphone = await tap(RATE_HZ, (samples, loudness) => {
    session.push(samples);
    $("level").firstElementChild.style.transform = `scaleX(${Math.min(1, loudness * 1.5)})`;
  });
  try {
    await session.connect(microphone.rateHz);
    caption(session);
    session.addEventListener("failed", ({ detail }) => show($("live-error"), detail.message));
    session.addEventListener("closed", () => {
      microphone.close();
      ended();
    });
    await microphone.start();
  } catch (failure) {
    await microphone.close();
    throw failure;
  }
  stop = () => {
    stop = null;
    microphone.close();
    session.stop();
    say($("live-status"), "Waiting for the last words…");
  };
  $("captions").replaceChildren();
  $("listen").classList.add("running");
  $("listen").textContent = "Stop";
  say($("live-status"), "Listening: speak.");
  onDone();
}

/** Write down what a session hears. */
function caption(session) {
  const spoken = new Map(); // item -> its words so far
  const pending = () => ($("tentative").textContent = [...spoken.values()].join(" "));
  session.addEventListener("words", ({ detail: { itemId, text } }) => {
    spoken.set(itemId, (spoken.get(itemId) ?? "") + text);
    pending();
  });
  session.addEventListener("sentence", ({ detail: { itemId, text, delayS } }) => {
    spoken.delete(itemId);
    pending();
    if (!text) return;
    const line = document.createElement("p");
    const words = document.createElement("span");
    const late = document.createElement("time");
    words.textContent = text;
    if (delayS !== null) late.textContent = `${delayS.toFixed(1)} s`;
    late.title = "From the end of the pause until the text was here";
    line.append(words, late);
    $("captions").append(line);
    line.scrollIntoView({ block: "nearest" });
    if (delayS !== null) $("delay").textContent = `Text ${delayS.toFixed(1)} s after the pause`;
  });
}

function ended() {
  stop = null;
  $("listen").classList.remove("running");
  $("listen").textContent = "Start the microphone";
  $("level").firstElementChild.style.transform = "";
  $("tentative").textContent = "";
  say($("live-status"), "");
}
