// Puts the page together.

import { ask, address } from "./api.js";
import { setUpFile } from "./file.js";
import { setUpKey } from "./key.js";
import { setUpLive } from "./live.js";
import { refused, say } from "./say.js";
import { showSnippets } from "./snippets.js";
import { setUpTabs } from "./tabs.js";

const RETRY_S = 5;
const $ = (id) => document.getElementById(id);

let done = { kind: "file", name: "hello.wav" };

function tellSnippets(just = done, about = "") {
  done = just;
  if (about) say($("code-about"), about);
  showSnippets($("snippets"), done);
}

/** Say which model is served, once it is loaded. */
async function meet() {
  try {
    const ready = await fetch(address("readyz"));
    if (!ready.ok) {
      say($("model"), "The model is loading…");
      setTimeout(meet, 1000 * (Number(ready.headers.get("Retry-After")) || RETRY_S));
      return;
    }
    const { model, device } = await ready.json();
    say($("model"), `${model} on ${device.startsWith("cuda") ? "a GPU" : "the CPU"}`);
  } catch {
    say($("model"), "The service cannot be reached.");
    setTimeout(meet, 1000 * RETRY_S);
    return;
  }
  try {
    const { data } = await (await ask("v1/models")).json();
    $("demonstration").hidden = !data.some((served) => served.demonstration);
  } catch (failure) {
    refused($("file-error"), failure);
  }
}

setUpTabs(document.querySelector("[role=tablist]"));
setUpKey(() => {
  $("file-error").hidden = $("live-error").hidden = true;
  tellSnippets();
  meet();
});
setUpFile((just) => tellSnippets({ kind: "file", ...just }, `What you have just done with ${just.name}, from a program:`));
setUpLive(() => tellSnippets({ kind: "live" }, "What you have just done with the microphone, from a program:"));
tellSnippets(done, "The sample, transcribed from a program:");
meet();
