// Runs on the browser's audio thread: gathers samples and hands them on as 16-bit integers.

const CHUNK_SAMPLES = Math.round(0.04 * sampleRate); // in each message: little delay, and 25 messages a second

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunk = new Int16Array(CHUNK_SAMPLES);
    this.filled = 0;
    this.loudest = 0;
  }

  process([[samples]]) {
    for (const sample of samples ?? []) {
      const clipped = Math.max(-1, Math.min(1, sample));
      this.chunk[this.filled++] = clipped * 32767;
      this.loudest = Math.max(this.loudest, Math.abs(clipped));
      if (this.filled === CHUNK_SAMPLES) this.#handOn();
    }
    return true;
  }

  #handOn() {
    this.port.postMessage({ samples: this.chunk, loudness: this.loudest }, [this.chunk.buffer]);
    this.chunk = new Int16Array(CHUNK_SAMPLES); // the one before is no longer ours
    this.filled = 0;
    this.loudest = 0;
  }
}

registerProcessor("microphone", Microphone);
