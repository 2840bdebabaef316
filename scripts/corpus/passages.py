"""Packs the blocks of a section into passages and joins questions to the passages that answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace

from corpus.blocks import Block

MOST_WORDS = 180
FEWEST_WORDS = 60
# Shorter answers only point elsewhere ("See perlfaq4"), so they cannot be a label.
FEWEST_ANSWER_WORDS = 12
FEWEST_PASSAGE_WORDS = 12
FEWEST_QUESTION_WORDS = 3


@dataclass(frozen=True)
class Section:
    """One stretch of a document: `question` is set where its heading asks what the blocks answer.

    `heading` is what surrounds it: for an answer the heading above the question, never the
    question itself, so that no field of an answer's passage repeats what is asked.
    """

    source: str
    title: str
    heading: str
    blocks: tuple[Block, ...]
    question: str | None = None


@dataclass(frozen=True)
class Passage:
    """A text of at most about 180 words, with the names that lead back to where it came from."""

    passage_id: str
    source: str
    title: str
    section: str
    text: str


@dataclass
class Question:
    """A question and the ids of the passages that answer it."""

    question_id: str
    question: str
    relevant: list[str]
    source: str


@dataclass
class Corpus:
    """Passages and questions in document order, without duplicates."""

    passages: list[Passage] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


def build(sections: Iterable[Section]) -> Corpus:
    """Passages and labels of all sections.

    A text that occurs twice is kept once; its label follows it. A question that is asked twice
    is kept once with the answers of both. Blocks that are no more than a question are left out
    everywhere (tables of contents), and a heading that its answer repeats word for word is no
    question: both would let a search find the label by the wording alone.
    """
    kept = [_without_giveaway(section) for section in sections]
    asked = {_key(section.question) for section in kept if section.question is not None}
    passages: dict[str, Passage] = {}
    questions: dict[str, Question] = {}
    for section in _merge_short(kept):
        blocks = [block for block in section.blocks if _key(block.text) not in asked]
        texts = pack(blocks)
        least = FEWEST_PASSAGE_WORDS if section.question is None else FEWEST_ANSWER_WORDS
        if sum(map(_words, texts)) < least:
            continue
        ids = [_add(passages, section, text) for text in texts]
        if section.question is not None:
            _label(questions, section, ids)
    return Corpus(list(passages.values()), list(questions.values()))


def _without_giveaway(section: Section) -> Section:
    if section.question is None:
        return section
    key = f" {_key(section.question)} "
    if any(key in f" {_key(block.text)} " for block in section.blocks):
        return replace(section, question=None)
    return section


def _label(questions: dict[str, Question], section: Section, ids: list[str]) -> None:
    assert section.question is not None
    key = _key(section.question)
    name = f"q-{section.source}-{_digest(key)}"
    entry = questions.setdefault(key, Question(name, section.question, [], section.source))
    entry.relevant.extend(one for one in ids if one not in entry.relevant)


def as_record(entry: Passage | Question) -> dict[str, object]:
    """The entry as the JSON object that the files hold."""
    return asdict(entry)


def pack(blocks: Iterable[Block]) -> list[str]:
    """Texts of at most MOST_WORDS words from blocks, paragraphs divided by an empty line.

    Blocks are kept whole where they fit.
    """
    pieces = [piece for block in blocks for piece in _split(block)]
    total = sum(_words(piece) for piece in pieces)
    # Even parts rather than full ones and a stub at the end.
    parts = max(1, -(-total // MOST_WORDS))
    aim = max(FEWEST_WORDS, total // parts)
    packed: list[list[str]] = []
    size = 0
    for piece in pieces:
        words = _words(piece)
        full = size >= aim or size + words > MOST_WORDS
        if not packed or (full and size >= FEWEST_WORDS) or size + words > MOST_WORDS:
            packed.append([])
            size = 0
        packed[-1].append(piece)
        size += words
    if len(packed) > 1 and sum(map(_words, packed[-1])) < FEWEST_WORDS // 2:
        tail = packed.pop()
        if sum(map(_words, packed[-1] + tail)) <= MOST_WORDS:
            packed[-1].extend(tail)
        else:
            packed.append(tail)
    return ["\n\n".join(part) for part in packed]


def _merge_short(sections: Iterable[Section]) -> Iterator[Section]:
    """Joins neighbours of one document until they make a passage; answers stay by themselves."""
    held: Section | None = None
    for section in sections:
        if section.question is not None:
            if held is not None:
                yield held
                held = None
            yield section
            continue
        if held is not None and (held.source, held.title) == (section.source, section.title):
            held = Section(held.source, held.title, held.heading, (*held.blocks, *section.blocks))
        else:
            if held is not None:
                yield held
            held = section
        if sum(_words(block.text) for block in held.blocks) >= FEWEST_WORDS:
            yield held
            held = None
    if held is not None:
        yield held


def _add(passages: dict[str, Passage], section: Section, text: str) -> str:
    key = _key(text)
    if key not in passages:
        name = f"{section.source}-{_digest(key)}"
        passages[key] = Passage(name, section.source, section.title, section.heading, text)
    return passages[key].passage_id


def _split(block: Block) -> list[str]:
    if _words(block.text) <= MOST_WORDS:
        return [block.text]
    units = block.text.split("\n") if block.code else re.split(r"(?<=[.!?]) +", block.text)
    joint = "\n" if block.code else " "
    pieces: list[str] = []
    held: list[str] = []
    for unit in units:
        for part in _cut(unit):
            if held and sum(map(_words, held)) + _words(part) > MOST_WORDS:
                pieces.append(joint.join(held))
                held = []
            held.append(part)
    return [*pieces, joint.join(held)]


def _cut(unit: str) -> list[str]:
    words = unit.split(" ")
    if len(words) <= MOST_WORDS:
        return [unit]
    return [" ".join(words[at : at + MOST_WORDS]) for at in range(0, len(words), MOST_WORDS)]


def _words(text: str) -> int:
    return len(text.split())


def _key(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
