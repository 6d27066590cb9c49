// The audio drawn: how loud it is, where somebody speaks, what has been played. It is a slider, too.

import { clock } from "./transcript.js";

const RATE_HZ = 8000; // enough to draw with, and an hour of one channel stays below 120 MB while it is decoded
const LONGEST_BYTES = 64e6; // larger files are drawn by their speech alone: decoding them here would cost too much memory
const STEP_S = 5;
const BAR_PX = 3;

export class Waveform {
  /** @param {(atS: number) => void} onSeek Told where to go on. */
  constructor(canvas, onSeek) {
    this.canvas = canvas;
    this.onSeek = onSeek;
    this.clear();
    canvas.addEventListener("pointerdown", (event) => this.#pointed(event));
    canvas.addEventListener("pointermove", (event) => event.buttons && this.#pointed(event));
    canvas.addEventListener("keydown", (event) => this.#pressed(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  clear() {
    this.samples = null;
    this.durationS = 0;
    this.atS = 0;
    this.spans = [];
    this.draw();
  }

  /** Decode for drawing; what this browser cannot decode is drawn by its speech alone. */
  async load(blob) {
    if (blob.size > LONGEST_BYTES) return;
    try {
      const decoded = await new OfflineAudioContext(1, 1, RATE_HZ).decodeAudioData(await blob.arrayBuffer());
      this.samples = decoded.getChannelData(0);
      this.durationS ||= decoded.duration;
    } catch {
      this.samples = null;
    }
    this.draw();
  }

  lasts(durationS) {
    if (Number.isFinite(durationS)) this.durationS = durationS;
    this.draw();
  }

  /** Mark where words were heard; words closer than a breath are one span. */
  speech(words) {
    for (const { start, end } of words) {
      const last = this.spans.at(-1);
      if (last && start - last.end < 0.5) last.end = Math.max(last.end, end);
      else this.spans.push({ start, end });
    }
    this.durationS = Math.max(this.durationS, this.spans.at(-1)?.end ?? 0);
    this.draw();
  }

  at(seconds) {
    this.atS = seconds;
    this.draw();
  }

  draw() {
    const { width, height } = this.canvas.getBoundingClientRect();
    this.#tell();
    if (!width) return;
    const scale = devicePixelRatio;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(this.canvas);
    const [accent, wave, tint] = ["--accent", "--wave", "--tint"].map((name) => style.getPropertyValue(name));
    const toX = this.durationS ? width / this.durationS : 0;
    pen.fillStyle = tint;
    for (const { start, end } of this.spans) pen.fillRect(start * toX, 0, Math.max(1, (end - start) * toX), height);
    for (const [i, peak] of this.#peaks(Math.floor(width / BAR_PX)).entries()) {
      const barHeight = Math.max(2, peak * (height - 8));
      pen.fillStyle = i * BAR_PX < this.atS * toX ? accent : wave;
      pen.fillRect(i * BAR_PX, (height - barHeight) / 2, BAR_PX - 1, barHeight);
    }
    pen.fillStyle = accent;
    pen.fillRect(Math.min(width - 2, this.atS * toX), 0, 2, height);
  }

  #peaks(nBars) {
    if (this.peaks?.samples === this.samples && this.peaks.bars.length === nBars) return this.peaks.bars;
    const bars = new Float32Array(nBars);
    const perBar = (this.samples?.length ?? 0) / nBars;
    for (let i = 0; i < nBars && this.samples; i++) {
      for (let j = Math.floor(i * perBar); j < Math.floor((i + 1) * perBar); j++) bars[i] = Math.max(bars[i], Math.abs(this.samples[j]));
    }
    const loudest = bars.reduce((most, bar) => Math.max(most, bar), 0.05);
    this.peaks = { samples: this.samples, bars: bars.map((bar) => bar / loudest) };
    return this.peaks.bars;
  }

  #tell() {
    this.canvas.setAttribute("aria-valuemax", Math.round(this.durationS));
    this.canvas.setAttribute("aria-valuenow", Math.round(this.atS));
    this.canvas.setAttribute("aria-valuetext", `${clock(this.atS)} of ${clock(this.durationS)}`);
  }

  #pointed(event) {
    const { left, width } = this.canvas.getBoundingClientRect();
    this.#seek(((event.clientX - left) / width) * this.durationS);
  }

  #pressed(event) {
    const targets = {
      ArrowLeft: this.atS - STEP_S, ArrowDown: this.atS - STEP_S, ArrowRight: this.atS + STEP_S, ArrowUp: this.atS + STEP_S,
      PageUp: this.atS + 12 * STEP_S, PageDown: this.atS - 12 * STEP_S, Home: 0, End: this.durationS,
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    this.#seek(targets[event.key]);
  }

  #seek(atS) {
    this.onSeek(Math.min(this.durationS, Math.max(0, atS)));
  }
}
