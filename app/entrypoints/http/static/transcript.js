// The transcript: sentences of words that can be heard. Words get elements of their own only near the screen, as an hour has ten thousand.

const PAUSE_S = 2; // between words that ends a sentence, as in the service's own segments
const DOUBTFUL = 0.6; // probability of a word below which it is marked; chosen by eye
const VERY_DOUBTFUL = 0.35;
const NEAR = "600px"; // how far off the screen words get their elements

/** `m:ss`, or `h:mm:ss` from an hour on. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

export class Transcript {
  /** @param {(atS: number) => void} onSeek Told when somebody wants to hear a word. */
  constructor(root, onSeek) {
    this.root = root;
    this.onSeek = onSeek;
    this.near = new IntersectionObserver((entries) => entries.forEach((entry) => this.#nearby(entry)), { rootMargin: NEAR });
    root.addEventListener("click", (event) => this.#clicked(event));
    root.addEventListener("keydown", (event) => this.#pressed(event));
    this.clear();
  }

  clear() {
    this.near.disconnect();
    this.words = [];
    this.sentences = [];
    this.now = -1;
    this.root.replaceChildren();
  }

  /** Add the next words, `{word, start, end, logprob}` in the order of time. */
  add(words) {
    const grown = new Set();
    for (const word of words) {
      const last = this.words.at(-1);
      const ended = !last || /[.?!]$/.test(last.word) || word.start - last.end > PAUSE_S;
      const sentence = ended ? this.#open() : this.sentences.at(-1);
      sentence.words.push(word);
      this.words.push(word);
      grown.add(sentence);
    }
    for (const sentence of grown) this.#render(sentence);
  }

  /** Light the word that is spoken at a moment; none in a pause. */
  light(atS) {
    const found = this.#at(atS);
    if (found === this.now) return;
    const before = this.#sentenceOf(this.now);
    this.#elementOf(this.now)?.classList.remove("now");
    this.now = found;
    if (found < 0) return;
    const sentence = this.#sentenceOf(found);
    if (before && before !== sentence && before.isNear) sentence.element.scrollIntoView({ block: "nearest" });
    this.#elementOf(found)?.classList.add("now");
  }

  #open() {
    const element = document.createElement("div");
    element.className = "sentence";
    const time = document.createElement("button");
    const text = document.createElement("p");
    time.type = "button";
    time.className = "time";
    time.tabIndex = this.sentences.length ? -1 : 0; // one stop for Tab; arrow keys go on from there
    element.append(time, text);
    const sentence = { element, time, text, words: [], first: this.words.length, index: this.sentences.length, isNear: false };
    element.sentence = sentence;
    this.sentences.push(sentence);
    this.root.append(element);
    this.near.observe(element);
    return sentence;
  }

  #render(sentence) {
    const startS = sentence.words[0].start;
    sentence.time.textContent = clock(startS);
    sentence.time.setAttribute("aria-label", `Play from ${clock(startS)}`);
    if (!sentence.isNear) {
      sentence.text.textContent = sentence.words.map((word) => word.word).join(" ");
      return;
    }
    const parts = sentence.words.flatMap((word, i) => [i ? " " : "", wordElement(word, sentence.first + i)]);
    sentence.text.replaceChildren(...parts);
    this.#elementOf(this.now)?.classList.add("now");
  }

  #nearby({ target, isIntersecting }) {
    const sentence = target.sentence;
    if (sentence.isNear === isIntersecting || (!isIntersecting && target.contains(document.activeElement))) return;
    sentence.isNear = isIntersecting;
    this.#render(sentence);
  }

  #clicked({ target }) {
    const word = target.closest(".word");
    const sentence = target.closest(".sentence")?.sentence;
    if (word) this.onSeek(this.words[word.dataset.index].start);
    else if (target.closest(".time")) this.onSeek(sentence.words[0].start);
  }

  #pressed(event) {
    const sentence = event.target.closest(".sentence")?.sentence;
    if (!sentence) return;
    const index = event.target.dataset.index === undefined ? sentence.first - 1 : Number(event.target.dataset.index);
    const moves = {
      ArrowRight: () => this.#focusWord(index + 1),
      ArrowLeft: () => this.#focusWord(index - 1),
      ArrowDown: () => this.#focusTime(sentence.index + 1),
      ArrowUp: () => this.#focusTime(sentence.index - 1),
      Home: () => this.#focusTime(0),
      End: () => this.#focusTime(this.sentences.length - 1),
    };
    if (moves[event.key]) moves[event.key]();
    else if ((event.key === "Enter" || event.key === " ") && event.target.matches(".word")) this.onSeek(this.words[index].start);
    else return;
    event.preventDefault();
  }

  #focusTime(index) {
    const sentence = this.sentences[index];
    if (!sentence) return;
    for (const time of this.root.querySelectorAll(".time[tabindex='0']")) time.tabIndex = -1;
    sentence.time.tabIndex = 0;
    sentence.time.focus();
  }

  #focusWord(index) {
    const sentence = this.#sentenceOf(index);
    if (!sentence) return;
    if (!sentence.isNear) {
      sentence.isNear = true;
      this.#render(sentence);
    }
    this.#elementOf(index).focus();
  }

  #at(atS) {
    let [low, high] = [0, this.words.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.words[middle].start <= atS) low = middle + 1;
      else high = middle;
    }
    return low && atS < this.words[low - 1].end ? low - 1 : -1;
  }

  #sentenceOf(index) {
    if (index < 0 || index >= this.words.length) return null;
    return this.sentences.findLast((sentence) => sentence.first <= index);
  }

  #elementOf(index) {
    const sentence = this.#sentenceOf(index);
    return sentence?.isNear ? sentence.text.children[index - sentence.first] : null;
  }
}

function wordElement({ word, logprob }, index) {
  const element = document.createElement("span");
  const probability = Math.exp(logprob);
  element.className = "word";
  if (probability < DOUBTFUL) element.classList.add("doubt");
  if (probability < VERY_DOUBTFUL) element.classList.add("more");
  element.title = `${Math.round(probability * 100)} % sure`;
  element.dataset.index = index;
  element.tabIndex = -1;
  element.textContent = word;
  return element;
}
