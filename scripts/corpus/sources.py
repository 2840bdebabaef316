"""What is taken from each documentation package, and under which licence."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus.blocks import Block, Element, Heading, html_elements, pod_elements
from corpus.passages import FEWEST_QUESTION_WORDS, Section


@dataclass(frozen=True)
class Source:
    """A name for `--sources`, the packages that may carry it, and how its sections are read.

    Of `packages` the first that can be had is used: releases name them differently. `licence`
    is what the package says of the documents taken, in the file that the pattern `notice`
    matches below the unpacked package.
    """

    name: str
    packages: tuple[str, ...]
    licence: str
    notice: str
    read: Callable[[Path], Iterator[Section]]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _perl(root: Path) -> Iterator[Section]:
    folder = _only(root, "usr/share/perl/*/pod")
    faqs = sorted(folder.glob("perlfaq[1-9].pod"))
    for path in [*faqs, *(folder / f"{name}.pod" for name in sorted(_PERL_PAGES))]:
        if path.is_file():
            every = pod_elements(_text(path))
            name = next((e.text for e in every if isinstance(e, Block)), path.stem)
            elements = _without(_POD_APPENDICES, every)
            asks = _at_level(2) if path in faqs else _at_level(None)
            yield from _sections("perl", [Heading(0, name), *elements], asks)


# Guides and tutorials: prose like the questions', unlike reference lists and release notes.
_PERL_PAGES = _names(
    "perldebtut perldsc perlipc perllocale perllol perlmod perlobj perlootut perlopentut "
    "perlpacktut perlperf perlreftut perlrequick perlretut perlsec perlstyle perlsub perlthrtut "
    "perltrap perlunitut perluniintro"
)


_POD_APPENDICES = re.compile(r"VERSION|SEE ALSO|BUGS|AUTHORS?\b.*|COPYRIGHT\b.*|ACKNOWLEDG.*|NAME")


def _without(dropped: re.Pattern[str], elements: Iterable[Element]) -> Iterator[Element]:
    """Leaves out what stands below a first-level heading of such a name."""
    inside = ""
    for element in elements:
        if isinstance(element, Heading) and element.level == 1:
            inside = element.text if dropped.fullmatch(element.text) else ""
        if not inside:
            yield element


def _python(root: Path) -> Iterator[Section]:
    folder = _only(root, "usr/share/doc/python3*/html")
    for part in ("faq", "tutorial", "howto", "using", "installing"):
        for path in sorted((folder / part).glob("*.html")):
            if part != "faq":
                yield from _sections("python", html_elements(_text(path)))
            elif path.stem != "index":
                elements = html_elements(_text(path))
                yield from _sections("python", elements, _leaves(elements))


def _debian(root: Path) -> Iterator[Section]:
    folder = _only(root, "usr/share/doc/debian/FAQ")
    for path in sorted(folder.glob("*.en.html")):
        if path.name != "index.en.html":
            elements = html_elements(_text(path))
            yield from _sections("debian", elements, _leaves(elements))


def _r(root: Path) -> Iterator[Section]:
    folder = _only(root, "usr/share/R/doc/manual")
    faq = html_elements(_text(folder / "R-FAQ.html"))
    yield from _sections("r", faq, _leaves(faq))
    for name in ("R-intro", "R-data", "R-lang"):
        yield from _sections("r", html_elements(_text(folder / f"{name}.html")))


def _sqlite(root: Path) -> Iterator[Section]:
    folder = _only(root, "usr/share/doc/sqlite3")
    faq = list(_sqlite_faq(_titled(_text(folder / "faq.html"))))
    yield from _sections("sqlite", faq, _at_level(_SQLITE_ASKS))
    for path in sorted(folder.glob("*.html")):
        if path.stem in _SQLITE_PAGES:
            yield from _sections("sqlite", _titled(_text(path)))


_SQLITE_PAGES = _names(
    "about appfileformat arch atomiccommit autoinc backup cli compile datatype3 eqp errlog "
    "expridx fasterthanfs fileformat2 flattening foreignkeys fts5 gencol howtocorrupt "
    "howitworks inmemorydb intern-v-extern-blob json1 lang_aggfunc lang_altertable lang_attach "
    "lang_conflict lang_createindex lang_createtable lang_createtrigger lang_createview "
    "lang_datefunc lang_delete lang_expr lang_insert lang_reindex lang_returning lang_savepoint "
    "lang_select lang_transaction lang_update lang_upsert lang_vacuum lang_with limits loadext "
    "lockingv3 mmap np1queryprob nulls omitted onefile optoverview partialindex pragma "
    "queryplanner queryplanner-ng quickstart quirks recovery rowidtable rowvalue rtree "
    "security selfcontained serverless sharedcache stricttables tempfiles testing threadsafe "
    "transactional uri useovernet versionnumbers wal whentouse whynotgit whyc windowfunctions "
    "withoutrowid zeroconf"
)
_SQLITE_ASKS = 6


def _titled(page: str) -> list[Element]:
    """The page's elements under its own title, which SQLite's pages have in their head alone."""
    title = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
    name = " ".join(html.unescape(title[1]).split()) if title else "SQLite"
    return [Heading(0, name), *html_elements(page)]


def _sqlite_faq(elements: Iterable[Element]) -> Iterator[Element]:
    """The page marks its questions as `(1) ...` in bold, not as headings."""
    for element in elements:
        question = re.match(r"\(\d+\) (.+)", element.text)
        if isinstance(element, Block) and question:
            yield Heading(_SQLITE_ASKS, question[1])
        else:
            yield element


_ALL = (
    Source(
        "perl",
        ("perl-doc",),
        "GPL-1+ or Artistic",
        "usr/share/doc/perl-doc/copyright",
        _perl,
    ),
    Source(
        "python",
        ("python3.11-doc", "python3.12-doc", "python3.13-doc"),
        "PSF-2.0, examples also 0BSD",
        "usr/share/doc/python3*-doc/copyright",
        _python,
    ),
    Source(
        "debian",
        ("debian-faq",),
        "verbatim copies, and changed ones under an identical notice",
        "usr/share/doc/debian-faq/copyright",
        _debian,
    ),
    Source(
        "r",
        ("r-doc-html",),
        "GPL-2+",
        "usr/share/doc/r-doc-html/copyright",
        _r,
    ),
    Source(
        "sqlite",
        ("sqlite3-doc",),
        "public domain",
        "usr/share/doc/sqlite3-doc/copyright",
        _sqlite,
    ),
)
SOURCES = {source.name: source for source in _ALL}


Asks = Callable[[Heading], bool]


def _leaves(elements: Iterable[Element]) -> Asks:
    """Of a FAQ page: the headings below the title with text of their own and no sub-heading."""
    headings = [element for element in elements if isinstance(element, Heading)]
    following = [*headings[1:], Heading(0, "")]
    leaves = {
        id(heading)
        for heading, after in zip(headings, following, strict=True)
        if heading.level > headings[0].level and after.level <= heading.level
    }
    return lambda heading: id(heading) in leaves


def _at_level(level: int | None) -> Asks:
    """The headings of one level; None for a document that asks nothing."""
    return lambda heading: heading.level == level


def _sections(
    source: str, elements: Iterable[Element], asks: Asks = lambda heading: False
) -> Iterator[Section]:
    """Cuts a document at its headings; the first is its title.

    A heading that asks labels the blocks up to the next heading of its level or above: deeper
    headings within an answer are dropped.
    """
    title = ""
    above = ""
    asked: Heading | None = None
    blocks: list[Block] = []
    for element in elements:
        if isinstance(element, Block):
            if not _FURNITURE.match(element.text):
                blocks.append(element)
            continue
        if asked is not None and element.level > asked.level:
            continue
        if blocks:
            yield _section(source, title, above, asked, blocks)
            blocks = []
        asked = None
        if not title:
            title = above = _plain(element)
        elif asks(element):
            asked = element
        else:
            above = title if element.text == "DESCRIPTION" else _plain(element)
    if blocks:
        yield _section(source, title, above, asked, blocks)


def _section(
    source: str, title: str, above: str, asked: Heading | None, blocks: list[Block]
) -> Section:
    question = _plain(asked) if asked is not None else ""
    if len(question.split()) < FEWEST_QUESTION_WORDS:
        return Section(source, title, question or above, tuple(blocks))
    return Section(source, title, above, tuple(blocks), question)


def _plain(heading: Heading) -> str:
    return _NUMBERING.sub("", heading.text)


_FURNITURE = re.compile(r"This page last modified on ")
# "7.31 ", "10.2. ", "Chapter 3. ", "Q5. " before the words of a heading.
_NUMBERING = re.compile(r"^(?:Chapter\s+)?(?:[A-Z]\.)?\d+(?:\.\d+)*\.?\s+")


def _only(root: Path, pattern: str) -> Path:
    found = sorted(path for path in root.glob(pattern) if path.is_dir() and not path.is_symlink())
    if not found:
        raise FileNotFoundError(f"{root} holds no {pattern}: another version of the package?")
    return found[0]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
