// The file tab: from audio to a transcript that can be heard, read and taken away.

import { ServiceError, address, transcribe } from "./api.js";
import { record } from "./microphone.js";
import { refused, say, show } from "./say.js";
import { Transcript, clock } from "./transcript.js";
import { Waveform } from "./waveform.js";

const $ = (id) => document.getElementById(id);
const player = $("audio");
const wave = new Waveform($("wave"), (atS) => seek(atS));
const transcript = new Transcript($("transcript"), (atS) => {
  seek(atS);
  player.play().catch(() => {}); // the reason is shown by the player's `error`
});

let audio = null; // the present File
let heard = null; // the last event of its transcription
let running = null; // AbortController of the present request
let recording = null;

/** @param {(done: {name: string, keywords: string[]}) => void} onDone Told what was transcribed. */
export function setUpFile(onDone) {
  const take = (file) => file && start(file, onDone);
  $("file").addEventListener("change", () => {
    take($("file").files[0]);
    $("file").value = ""; // so that the same file may be chosen again
  });
  $("sample").addEventListener("click", async () => {
    const answer = await fetch(address("page/hello.wav"));
    take(new File([await answer.blob()], "hello.wav", { type: "audio/wav" }));
  });
  $("record").addEventListener("click", () => toggleRecording(take));
  $("stop").addEventListener("click", () => running?.abort());
  $("again").addEventListener("click", () => take(audio));
  setUpDrop(take);
  setUpPlayer();
  for (const button of $("downloads").querySelectorAll("button")) button.addEventListener("click", () => download(button.dataset.form));
}

async function start(file, onDone) {
  running?.abort();
  const mine = (running = new AbortController());
  audio = file;
  heard = null;
  transcript.clear();
  wave.clear();
  player.src = replaced(player.src, file);
  wave.load(file);
  const keywords = $("keywords").value.split(",").map((keyword) => keyword.trim()).filter(Boolean);
  show($("file-error"), "");
  show($("play-error"), "");
  $("result").hidden = $("downloads").hidden = true;
  buttons({ stop: true });
  say($("file-status"), `Sending ${file.name}…`);
  const sinceMs = performance.now();
  try {
    for await (const event of transcribe(file, { keywords, signal: mine.signal, onSent: (part) => running === mine && sent(file, part) })) {
      $("result").hidden = false;
      if (event.type === "transcript.text.delta") grow(event.words);
      else finish(event, sinceMs);
    }
    if (!heard) throw new ServiceError("The connection broke off before the end of the transcript.");
    buttons({});
    onDone({ name: file.name, keywords });
  } catch (failure) {
    if (running !== mine) return; // another file has taken its place
    $("sent").hidden = true;
    say($("file-status"), failure.name === "AbortError" ? "Stopped." : "");
    if (failure.name !== "AbortError") refused($("file-error"), failure);
    buttons({ again: true });
  }
}

function sent(file, part) {
  $("sent").value = part;
  $("sent").hidden = part === 1;
  if (part === 1) say($("file-status"), `Transcribing ${file.name}…`);
}

function grow(words) {
  transcript.add(words);
  wave.speech(words);
}

function finish(event, sinceMs) {
  heard = event;
  const tookS = (performance.now() - sinceMs) / 1000;
  const count = event.words.length;
  const said = count ? `${count.toLocaleString("en")} ${count === 1 ? "word" : "words"}` : "Nothing was said";
  say($("file-status"), `Done: ${said}, ${tookS.toFixed(1)} s.`);
  $("downloads").hidden = !count;
  $("transcript-help").hidden = !count;
}

function buttons({ stop = false, again = false }) {
  $("file-actions").hidden = !stop && !again;
  $("stop").hidden = !stop;
  $("again").hidden = !again;
}

function replaced(before, file) {
  if (before) URL.revokeObjectURL(before);
  return URL.createObjectURL(file);
}

function setUpDrop(take) {
  const drop = $("drop");
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault(); // or the browser would leave the page for the file
      drop.classList.toggle("over", kind === "dragover");
    });
  }
  document.addEventListener("drop", (event) => {
    const [file, ...others] = event.dataTransfer.files;
    if (!file) return; // it was a text or a link
    $("tab-file").click(); // a drop anywhere is taken, and what becomes of it is shown there
    take(file);
    if (others.length) show($("file-error"), `One file at a time: ${file.name} was taken, ${others.map(({ name }) => name).join(", ")} not.`);
  });
}

async function toggleRecording(take) {
  if (recording) {
    recording.stop();
    return;
  }
  try {
    recording = await record();
  } catch (failure) {
    show($("file-error"), failure.message);
    return;
  }
  const sinceMs = performance.now();
  const counting = setInterval(() => ($("record").textContent = `Stop ${clock((performance.now() - sinceMs) / 1000)}`), 500);
  show($("file-error"), "");
  $("record").classList.add("running");
  $("record").textContent = "Stop 0:00";
  const file = await recording.heard;
  clearInterval(counting);
  recording = null;
  $("record").classList.remove("running");
  $("record").textContent = "Record";
  take(file);
}

function setUpPlayer() {
  const play = $("play");
  play.addEventListener("click", () => (player.paused ? player.play().catch(() => {}) : player.pause()));
  for (const kind of ["play", "pause"]) {
    player.addEventListener(kind, () => {
      play.classList.toggle("playing", !player.paused);
      play.setAttribute("aria-label", player.paused ? "Play" : "Pause");
      if (!player.paused) follow();
    });
  }
  player.addEventListener("durationchange", () => {
    wave.lasts(player.duration);
    showClock();
  });
  player.addEventListener("seeked", showPosition);
  player.addEventListener("error", () => {
    if (player.src) show($("play-error"), "This browser cannot play the file; its transcript is not affected.");
  });
}

function follow() {
  showPosition();
  if (!player.paused) requestAnimationFrame(follow);
}

function showPosition() {
  wave.at(player.currentTime);
  transcript.light(player.currentTime);
  showClock();
}

function showClock() {
  $("clock").textContent = `${clock(player.currentTime)} / ${clock(wave.durationS)}`;
}

function seek(atS) {
  player.currentTime = atS;
  showPosition();
}

function download(form) {
  const { text, words, srt, vtt } = heard;
  const [content, type] = {
    txt: [`${text}\n`, "text/plain"],
    srt: [srt, "application/x-subrip"],
    vtt: [vtt, "text/vtt"],
    json: [`${JSON.stringify({ text, duration: wave.durationS, words }, null, 2)}\n`, "application/json"],
  }[form];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = `${audio.name.replace(/\.[^.]*$/, "")}.${form}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
