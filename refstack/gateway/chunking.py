"""Documents cut into chunks: whole paragraphs packed together up to a size."""

from __future__ import annotations

import re
from collections.abc import Iterator

TARGET_WORDS = 180
"""Words that a chunk is filled up to."""

_BLANK_LINES = re.compile(r"\n[ \t\r\f\v]*\n\s*")
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")


def chunk_text(text: str, target_words: int = TARGET_WORDS) -> list[str]:
    """Cut a text into chunks of at most `target_words` words, in order and losing no word.

    Paragraphs (parted by blank lines) are kept whole and packed together. One that is too long
    is cut at the ends of sentences, and a sentence that is too long between words. Chunks hold
    no leading or trailing white space; a text of white space only gives no chunk.
    """
    chunks: list[str] = []
    held: list[str] = []
    size = 0
    for piece in _pieces(text, target_words):
        words = len(piece.split())
        if held and size + words > target_words:
            chunks.append("\n\n".join(held))
            held, size = [], 0
        held.append(piece)
        size += words
    if held:
        chunks.append("\n\n".join(held))
    return chunks


def _pieces(text: str, most: int) -> Iterator[str]:
    for paragraph in _BLANK_LINES.split(text.strip()):
        if len(paragraph.split()) <= most:
            if paragraph.strip():
                yield paragraph.strip()
            continue
        yield from _packed_sentences(paragraph, most)


def _packed_sentences(paragraph: str, most: int) -> Iterator[str]:
    held: list[str] = []
    for sentence in _SENTENCE_END.split(paragraph):
        words = sentence.split()
        if held and len(held) + len(words) > most:
            yield " ".join(held)
            held = []
        held += words
        while len(held) > most:
            yield " ".join(held[:most])
            held = held[most:]
    if held:
        yield " ".join(held)
