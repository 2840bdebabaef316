"""Cuts HTML and POD documents into headings and text blocks, the common form of every source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_BREAKS = _names(
    "p div li ul ol dl dt dd tr td th table blockquote pre section article aside body main "
    "figure figcaption hr h1 h2 h3 h4 h5 h6"
)
_VOID = _names("area base br col embed hr img input link meta source track wbr")
_SKIPPED_TAGS = _names("script style head nav svg math")
# Navigation, indexes and tables of contents of DocBook, Sphinx, Texinfo and the SQLite pages.
_SKIPPED_CLASSES = _names(
    "contents deprecated-removed fancy_toc footer header headerlink imgcontainer index indexterm "
    "linenos menu mobilemenu navfooter navheader nosearch nounderline related searchmenu "
    "section-toc shortcontents sphinxsidebar summary-letter toc tocbox toctree-wrapper topic "
    "versionmodified"
)


@dataclass(frozen=True)
class Heading:
    """A heading; `level` 1 is the document's title."""

    level: int
    text: str


@dataclass(frozen=True)
class Block:
    """A paragraph, list item, table row or listing; a listing keeps its lines."""

    text: str
    code: bool = False


Element = Heading | Block


def html_elements(text: str) -> list[Element]:
    """The headings and blocks of one HTML page in reading order, without navigation."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    reader.flush()
    return reader.elements


class _Reader(HTMLParser):
    """Collects elements; a subtree to be skipped is followed by counting tags of its own name."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._text: list[str] = []
        self._heading = 0
        self._code = 0
        self._skip_tag = ""
        self._skip_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skip_tag:
            self._skip_depth += tag == self._skip_tag
            return
        classes = {name for key, value in attrs if key == "class" for name in (value or "").split()}
        if tag in _SKIPPED_TAGS or (classes & _SKIPPED_CLASSES and tag not in _VOID):
            if tag in _BREAKS:
                self.flush()
            self._skip_tag, self._skip_depth = tag, 1
        elif tag == "br":
            self._text.append("\n" if self._code else " ")
        elif tag in _BREAKS:
            self.flush()
            self._heading = _HEADINGS.get(tag, self._heading if tag == "div" else 0)
            self._code += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._skip_tag:
            self._skip_depth -= tag == self._skip_tag
            if self._skip_depth == 0:
                self._skip_tag = ""
        elif tag in _BREAKS:
            self.flush()
            if tag in _HEADINGS:
                self._heading = 0
            elif tag == "pre" and self._code:
                self._code -= 1

    def handle_data(self, data: str) -> None:
        if not self._skip_tag:
            self._text.append(data)

    def flush(self) -> None:
        """Close the block that is open, if it holds any text."""
        raw = "".join(self._text)
        self._text.clear()
        text = tidy_code(raw) if self._code else tidy(raw)
        if not text:
            return
        if self._heading:
            self.elements.append(Heading(self._heading, text))
        else:
            self.elements.append(Block(text, bool(self._code)))


def pod_elements(text: str) -> list[Element]:
    """The headings and blocks of one Perl POD document in reading order."""
    elements: list[Element] = []
    for paragraph in _pod_paragraphs(text):
        if paragraph[0] in " \t":
            code = tidy_code(paragraph)
            if elements and isinstance(elements[-1], Block) and elements[-1].code:
                elements[-1] = Block(f"{elements[-1].text}\n{code}", True)
            else:
                elements.append(Block(code, True))
            continue
        command = re.match(r"=(head[1-6]|item)\s+(.*)", paragraph, re.DOTALL)
        if command is None:
            if not paragraph.startswith("="):
                elements.append(Block(pod_text(paragraph)))
            continue
        content = pod_text(command[2])
        if command[1] == "item":
            if content.strip("*0123456789. "):
                elements.append(Block(content))
        else:
            elements.append(Heading(int(command[1][-1]), content))
    return [element for element in elements if element.text]


def _pod_paragraphs(text: str) -> Iterator[str]:
    hidden = ""
    for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        paragraph = paragraph.strip("\n")
        begin = re.match(r"=(begin|end|for)\b", paragraph)
        if begin:
            hidden = {"begin": "begin", "end": "", "for": hidden}[begin[1]]
        elif paragraph.strip() and not hidden:
            yield paragraph


_POD_CODE = re.compile(r"([A-Z])(<<+\s|<)")
_POD_ENTITIES = {"lt": "<", "gt": ">", "sol": "/", "verbar": "|", "quot": '"', "amp": "&"}


def pod_text(raw: str) -> str:
    """POD formatting codes resolved to what a reader sees, on one line."""
    return tidy(_resolve(raw, 0, "")[0])


def _resolve(raw: str, start: int, closing: str) -> tuple[str, int]:
    out: list[str] = []
    at = start
    while at < len(raw):
        if closing and raw.startswith(closing, at):
            return "".join(out), at + len(closing)
        code = _POD_CODE.match(raw, at)
        if code is None:
            out.append(raw[at])
            at += 1
            continue
        opening = code[2].strip()
        end = ">" if len(opening) == 1 else " " + ">" * len(opening)
        inner, at = _resolve(raw, code.end(), end)
        out.append(_shown(code[1], inner))
    return "".join(out), at


def _shown(code: str, inner: str) -> str:
    if code in "XZ":
        return ""
    if code == "E":
        return _POD_ENTITIES.get(inner, chr(int(inner)) if inner.isdigit() else inner)
    if code == "L":
        label, bar, target = inner.partition("|")
        if bar and target:
            return label
        return inner if "://" in inner else inner.strip("/").replace('"', "").replace("/", ", ")
    return inner


def tidy(raw: str) -> str:
    """Running text on one line, with single spaces."""
    return " ".join(raw.replace("\N{PILCROW SIGN}", " ").split())


def tidy_code(raw: str) -> str:
    """A listing without blank lines, shared indentation and trailing spaces."""
    lines = [line.rstrip().expandtabs(8) for line in raw.splitlines()]
    lines = [line for line in lines if line.strip()]
    if not lines:
        return ""
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[indent:] for line in lines)
