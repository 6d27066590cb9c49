// One live session over `/v1/realtime`, OpenAI's realtime transcription protocol.

import { ServiceError, address, ask, inWords, key } from "./api.js";

const LAST_WORDS_MS = 10_000; // how long to wait for the text of what was said before the stop

export class Realtime extends EventTarget {
  // Events: `words` {itemId, text} as they become stable, `sentence` {itemId, text, delayS} when all of it is there, `failed`
  // {message}, `closed`.

  #socket;
  #open = new Set(); // items committed and not yet completed
  #sent = []; // [ms of sound sent so far, when], to tell how late a text is
  #endMs = new Map(); // item -> where its speech stopped
  #sentMs = 0;
  #stopping = false;
  #failed = false;

  /** Connect; sound of `rateHz` samples per second may be pushed from then on. */
  async connect(rateHz) {
    this.rateHz = rateHz;
    const url = address("v1/realtime?intent=transcription").replace(/^http/, "ws");
    this.#socket = new WebSocket(url, ["realtime", ...(await secret())]);
    const input = { format: { type: "audio/pcm", rate: rateHz } };
    await new Promise((resolve, reject) => {
      this.#socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.type === "session.created") this.#send({ type: "session.update", session: { type: "transcription", audio: { input } } });
        else if (event.type === "session.updated") resolve();
        else if (event.type === "error") reject(new ServiceError(inWords(event.error)));
      };
      this.#socket.onclose = () => reject(new ServiceError("The service closed the live session."));
    });
    this.#socket.onmessage = ({ data }) => this.#react(JSON.parse(data));
    this.#socket.onclose = () => this.#closed();
  }

  /** @param {Int16Array} samples */
  push(samples) {
    const bytes = new Uint8Array(samples.buffer);
    this.#send({ type: "input_audio_buffer.append", audio: btoa(String.fromCharCode(...bytes)) });
    this.#sentMs += (samples.length / this.rateHz) * 1000;
    this.#sent.push([this.#sentMs, performance.now()]);
    if (this.#sent.length > 2000) this.#sent.splice(0, 1000);
  }

  /** End the sound; the session closes once all that was said has its text. */
  stop() {
    this.#stopping = true;
    this.#send({ type: "input_audio_buffer.commit" });
    setTimeout(() => this.#socket.close(), LAST_WORDS_MS);
  }

  #react(event) {
    switch (event.type) {
      case "input_audio_buffer.speech_stopped":
        this.#endMs.set(event.item_id, event.audio_end_ms);
        break;
      case "input_audio_buffer.committed":
        this.#open.add(event.item_id);
        if (!this.#endMs.has(event.item_id)) this.#endMs.set(event.item_id, this.#sentMs);
        break;
      case "conversation.item.input_audio_transcription.delta":
        this.#tell("words", { itemId: event.item_id, text: event.delta });
        break;
      case "conversation.item.input_audio_transcription.completed":
        this.#tell("sentence", { itemId: event.item_id, text: event.transcript, delayS: this.#delayS(event.item_id) });
        this.#over(event.item_id);
        break;
      case "conversation.item.input_audio_transcription.failed":
        this.#tell("failed", { message: inWords(event.error) });
        this.#over(event.item_id);
        break;
      case "error":
        if (!(this.#stopping && event.error.code === "input_audio_buffer_commit_empty")) this.#fail(inWords(event.error));
        if (this.#stopping && !this.#open.size) this.#socket.close();
    }
  }

  /** From when the sound of the pause had been sent until now. */
  #delayS(itemId) {
    const sent = this.#sent.find(([ms]) => ms >= this.#endMs.get(itemId));
    return sent ? (performance.now() - sent[1]) / 1000 : null;
  }

  #over(itemId) {
    this.#open.delete(itemId);
    this.#endMs.delete(itemId);
    if (this.#stopping && !this.#open.size) this.#socket.close();
  }

  #closed() {
    if (!this.#stopping && !this.#failed) this.#fail("The service closed the live session.");
    this.dispatchEvent(new Event("closed"));
  }

  #fail(message) {
    this.#failed = true;
    this.#tell("failed", { message });
  }

  #send(event) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(event));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** The subprotocol that opens the socket: a short-lived secret, so that the key itself stays out of it. */
async function secret() {
  if (!key()) return [];
  const answer = await ask("v1/realtime/client_secrets", { method: "POST" });
  return [`openai-insecure-api-key.${(await answer.json()).value}`];
}
