"""The sentences that the training speech is made of: installed prose, docstrings, composed sentences, random words."""

import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from .everyday import compose_sentences

Kind = Literal["prose", "docstring", "everyday", "random"]

FORTUNES: Final = Path("/usr/share/games/fortunes")  # Debian: fortunes, fortunes-min
DICTIONARY: Final = Path("/usr/share/dict/words")  # Debian: wamerican-small
HELD_OUT: Final = ("evaluation_sentences.txt", "test_sentences.txt")
PROSE_WORDS: Final = (3, 16)
DOCSTRING_WORDS: Final = (4, 14)
RANDOM_WORDS: Final = (3, 9)
HELD_OUT_RUN: Final = 5  # so many words in a row shared with a held-out sentence make a leak
COMMON_WORDS: Final = 9_000
COMMON_WORDS_AT_LEAST: Final = 6_000
FILL_LETTERS: Final = (3, 8)  # length of the dictionary words that fill the list up
_COUNTED_EVERYDAY: Final = 5_000  # composed sentences that take part in counting words
_COUNTED_DOCSTRINGS: Final = 5_000

_NOT_PROSE: Final = frozenset({"ascii-art", "translate-me", "ethnic", "men-women", "perl"})
_NOT_SPOKEN: Final = frozenset(
    {
        "etc",
        "vs",
        "inc",
        "corp",
        "ltd",
        "jr",
        "sr",
        "st",
        "ave",
        "blvd",
        "ed",
        "eds",
        "al",
        "ie",
        "eg",
        "vol",
        "op",
        "cit",
    }
)
_LETTERS_ALONE: Final = frozenset({"a", "i", "o"})
_DOCSTRING: Final = re.compile(r'^[ \t]*[rR]?"""(.*?)"""', re.DOTALL | re.MULTILINE)
_ATTRIBUTION: Final = re.compile(r"^\s*--.*?(?=\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)
_SENTENCE_END: Final = re.compile(r"(?<=[.?!])[\"')]*\s+(?=[\"'(]*[A-Z])")
_ALLOWED: Final = re.compile(r"[A-Z][A-Za-z ',]*[.?!]")
_CODE_MARKS: Final = re.compile(r"[`_=<>{}\[\]()@#$%^*/\\|~+&:\d]|>>>|\w\.\w")
_SOFT_ENDS: Final = ("the", "a", "an", "of", "and", "or", "to", "with", "for", "by", "from", "mr", "dr", "mrs", "is")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One line to speak: letters, spaces, apostrophes, commas and a final `.`, `?` or `!`; it begins with a capital."""

    text: str
    kind: Kind


def words_of(text: str) -> tuple[str, ...]:
    """Return the lower-cased words of a sentence, without punctuation; apostrophes inside words stay."""
    return tuple(word.strip("'") for word in re.findall(r"[a-z']+", text.lower()) if word.strip("'"))


def gather(seed: int, *, prose: int, docstrings: int, everyday: int, random_words: int) -> list[Sentence]:
    """Gather distinct sentences, none of which leaks a held-out one, shuffled.

    `prose` and `docstrings` are ceilings: what is installed decides how many there are. `everyday` and `random_words`
    are met exactly. The same seed over the same installed packages gives the same list.

    Raises:
        FileNotFoundError: The fortunes or the dictionary are not installed; the message names the Debian package.
        ValueError: The sources hold too few words or sentences.
    """
    # Each source has a generator of its own, so that asking for more of one does not change another.
    dice = {name: random.Random(f"{seed}/{name}") for name in ("prose", "docstring", "everyday", "random", "order")}
    leaks = _Leaks()
    all_prose = [text for text in _prose_sentences() if not leaks.holds(text)]
    wanted = max(docstrings, _COUNTED_DOCSTRINGS)
    all_docstrings = [text for text in _docstring_sentences(dice["docstring"], wanted) if not leaks.holds(text)]
    common = _common_words([*all_prose, *all_docstrings[:_COUNTED_DOCSTRINGS]])
    dice["prose"].shuffle(all_prose)

    seen: set[tuple[str, ...]] = set()
    gathered = [
        *_take(all_prose, "prose", prose, seen),
        *_take(all_docstrings, "docstring", docstrings, seen),
        *_take(_everyday_sentences(dice["everyday"], everyday, leaks), "everyday", everyday, seen),
        *_take(_random_sentences(dice["random"], common, leaks), "random", random_words, seen),
    ]
    dice["order"].shuffle(gathered)
    return gathered


def _take(texts: Iterable[str], kind: Kind, count: int, seen: set[tuple[str, ...]]) -> list[Sentence]:
    """Take the first `count` sentences whose words are new, and note them in `seen`."""
    taken: list[Sentence] = []
    if count <= 0:
        return taken
    for text in texts:
        words = words_of(text)
        if words in seen:
            continue
        seen.add(words)
        taken.append(Sentence(text, kind))
        if len(taken) == count:
            break
    return taken


class _Leaks:
    """Knows the held-out sentences and every run of `HELD_OUT_RUN` words in them."""

    def __init__(self) -> None:
        here = Path(__file__).parent
        held_out = [words_of(line) for name in HELD_OUT for line in (here / name).read_text("utf-8").splitlines()]
        self._sentences = frozenset(held_out)
        self._runs = frozenset(run for words in held_out for run in _runs(words))

    def holds(self, text: str) -> bool:
        words = words_of(text)
        return words in self._sentences or any(run in self._runs for run in _runs(words))


def _runs(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (words[start : start + HELD_OUT_RUN] for start in range(len(words) - HELD_OUT_RUN + 1))


@cache
def _dictionary() -> frozenset[str]:
    """Return the entries of the word list, as written there: names begin with a capital."""
    if not DICTIONARY.is_file():
        raise FileNotFoundError(f"{DICTIONARY} is missing: install the Debian package wamerican-small")
    entries = DICTIONARY.read_text("utf-8").split()
    return frozenset(entry for entry in entries if re.fullmatch(r"[A-Za-z']+", entry))


def _real_word(word: str, *, first: bool) -> str | None:
    """Return the word as it should be written, or None where the dictionary does not know it.

    A capital is kept for names and for the first word; elsewhere it was emphasis or the start of a line of verse.
    """
    known = _dictionary()
    stem = re.sub(r"('s|s')$", lambda end: "s" if end.group() == "s'" else "", word)
    lower = stem.lower()
    if len(word) > 1 and word.isupper() and lower != "i":
        return None
    if (len(lower) == 1 and lower not in _LETTERS_ALONE) or lower in _NOT_SPOKEN or not re.search("[aeiouy]", lower):
        return None
    if lower == "i" or word.startswith("I'"):
        return word if word[0] == "I" and (word == "I" or word in known) else None
    capital = lower.capitalize()
    if lower in known or word.lower() in known:
        if first:
            return word[0].upper() + word[1:]
        return word if word[0].isupper() and stem in known else word.lower()
    return word if stem == capital and capital in known else None


def _normalise(raw: str, length: tuple[int, int]) -> str | None:
    """Bring a raw sentence to the form of `Sentence`; None where it cannot be done without harm.

    Args:
        raw: One sentence, on one or more lines.
        length: The fewest and the most words that it may have.
    """
    text = " ".join(raw.split())
    text = re.sub(r"^([QA]:|\(\d+\)|\d+[.)]|[*-]+)\s+", "", text)
    text = text.replace("\u2019", "'").replace("``", "").replace("''", "").replace('"', "")
    text = re.sub(r"\s*(--+| - |[;:](?=\s))\s*", ", ", text)
    text = re.sub(r"(?<=[A-Za-z])-(?=[A-Za-z])", " ", text)  # heard as two words
    text = re.sub(r"\.{2,}\s*$", ".", text)
    text = re.sub(r"([.?!])[.?!' ]*$", r"\1", text)
    text = re.sub(r"(?<![A-Za-z])'|'(?![A-Za-z])", "", text)
    text = re.sub(r"\s*,[\s,]*", ", ", text).strip(" ,").replace(", .", ".")
    if not text or text[-1] not in ".?!" or not text[0].isupper() or not _ALLOWED.fullmatch(text):
        return None
    tokens = text[:-1].split(" ")
    if not length[0] <= len(tokens) <= length[1] or tokens[-1].lower() in _SOFT_ENDS:
        return None
    written = []
    for place, token in enumerate(tokens):
        word = _real_word(token.rstrip(","), first=place == 0)
        if word is None:
            return None
        written.append(word + ("," if token.endswith(",") else ""))
    return " ".join(written) + text[-1]


def _prose_sentences() -> list[str]:
    """Read the sentences of the installed fortunes, in the order of the files; the offensive ones lie in a subfolder."""
    files = [
        path
        for path in sorted(FORTUNES.glob("*"))
        if path.is_file() and not path.is_symlink() and not path.suffix and path.name not in _NOT_PROSE
    ]
    if not files:
        raise FileNotFoundError(f"no fortunes in {FORTUNES}: install the Debian packages fortunes and fortunes-min")
    found: dict[str, None] = {}
    for path in files:
        content = path.read_text("utf-8", errors="replace").replace("\b", "")
        for fortune in re.split(r"^%$", content, flags=re.MULTILINE):
            for paragraph in re.split(r"\n\s*\n", _ATTRIBUTION.sub("", fortune)):
                for raw in _SENTENCE_END.split(paragraph.strip()):
                    sentence = _normalise(raw, PROSE_WORDS)
                    if sentence:
                        found[sentence] = None
    return list(found)


def _docstring_sentences(rng: random.Random, enough: int) -> list[str]:
    """Read sentences from the docstrings of the standard library and the installed packages, until there are enough.

    Files are read in an order drawn from `rng`, so that no one package fills the list.
    """
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}
    files = sorted({path for folder in folders for path in folder.rglob("*.py") if "idlelib" not in path.parts})
    rng.shuffle(files)
    found: dict[str, None] = {}
    for path in files:
        try:
            source = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        for docstring in _DOCSTRING.findall(source):
            for paragraph in re.split(r"\n\s*\n", docstring):
                for raw in _SENTENCE_END.split(paragraph.strip()):
                    if _CODE_MARKS.search(raw) or "--" in raw or '"' in raw:
                        continue
                    sentence = _normalise(raw, DOCSTRING_WORDS)
                    if sentence:
                        found[sentence] = None
        if len(found) >= enough:
            break
    return list(found)


def _everyday_sentences(rng: random.Random, count: int, leaks: _Leaks) -> list[str]:
    spare = count + count // 20 + 200  # for those that leak or are found elsewhere already
    return [text for text in compose_sentences(rng, spare) if not leaks.holds(text)]


def _common_words(texts: Iterable[str]) -> tuple[str, ...]:
    """Order lower-case dictionary words by how often the texts use them, filled up with short ones they lack.

    Raises:
        ValueError: Fewer than `COMMON_WORDS_AT_LEAST` words are known.
    """
    known = {word for word in _dictionary() if word.isalpha() and word.islower() and len(word) > 1}
    known = {word for word in known if re.search("[aeiouy]", word) and word not in _NOT_SPOKEN}
    spoken = (*texts, *compose_sentences(random.Random(0), _COUNTED_EVERYDAY))
    counts = Counter(word for text in spoken for word in words_of(text) if word in known)
    common = sorted(counts, key=lambda word: (-counts[word], word))[:COMMON_WORDS]
    fewest, most = FILL_LETTERS
    fill = sorted((word for word in known.difference(common) if fewest <= len(word) <= most), key=lambda w: (len(w), w))
    common += fill[: COMMON_WORDS - len(common)]
    if len(common) < COMMON_WORDS_AT_LEAST:
        raise ValueError(f"only {len(common)} common words, at least {COMMON_WORDS_AT_LEAST} are needed")
    return tuple(common)


def _random_sentences(rng: random.Random, words: tuple[str, ...], leaks: _Leaks) -> Iterator[str]:
    """Draw word sequences without end; every word is as likely as any other, so that rare ones are heard too."""
    while True:
        drawn = [rng.choice(words) for _ in range(rng.randint(*RANDOM_WORDS))]
        if len(drawn) > 4 and rng.random() < 0.15:
            drawn[rng.randrange(1, len(drawn) - 2)] += ","
        text = f"{' '.join(drawn).capitalize()}."
        if not leaks.holds(text):
            yield text
