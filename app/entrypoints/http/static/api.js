// The service as the page asks it: addresses, the key, answers and refusals. Addresses are relative, so a path prefix does no harm.

import { send } from "./upload.js";

const KEY = "stt-key";

export class ServiceError extends Error {
  /** @param {string} message In words, for the reader. */
  constructor(message, { status = 0, retryAfterS = null } = {}) {
    super(message);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

/** The address of a path of the service, as it is seen from here. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

export function key() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function keepKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

/** Ask the service; whatever it refuses becomes a `ServiceError`. With `onSent`, as `send` knows it, an upload tells how far it is. */
export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (key()) headers.set("Authorization", `Bearer ${key()}`);
  let answer;
  try {
    answer = await (options.onSent ? send : fetch)(address(path), { ...options, headers });
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new ServiceError("The service cannot be reached. Is it still running?");
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/** Send audio and yield the events of its transcription. */
export async function* transcribe(audio, { keywords = [], signal, onSent } = {}) {
  const form = new FormData();
  form.append("file", audio, audio.name ?? "audio");
  form.append("stream", "true");
  for (const name of ["words", "srt", "vtt"]) form.append("include[]", name);
  for (const keyword of keywords) form.append("keywords[]", keyword);
  const answer = await ask("v1/audio/transcriptions", { method: "POST", body: form, signal, onSent });
  for await (const event of eventsOf(answer.body)) {
    if (event.error) throw new ServiceError(inWords(event.error));
    yield event;
  }
}

async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const frames = (pending + value).split("\n\n");
    pending = frames.pop();
    for (const frame of frames) yield JSON.parse(frame.slice("data: ".length));
  }
}

async function refusal(answer) {
  const told = await answer.json().catch(() => null);
  const retryAfterS = Number(answer.headers.get("Retry-After")) || null;
  let message = told?.error ? inWords(told.error) : `The service answered with status ${answer.status}.`;
  if (retryAfterS) message += ` Try again in ${retryAfterS} ${retryAfterS === 1 ? "second" : "seconds"}.`;
  return new ServiceError(message, { status: answer.status, retryAfterS });
}

/** An error of the envelope as a sentence. */
export function inWords({ message }) {
  const sentence = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}
