"""Builds the retrieval corpus from documentation packages: passages, questions and answers."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from corpus.passages import Corpus, Passage, Question, Section, as_record, build
from corpus.sample import pick
from corpus.sources import SOURCES, Source
from debs import DebError, Package, default_cache, describe, fetch, known

FORMAT = 1
SAMPLE_QUESTIONS = {"perl": 40, "python": 28, "sqlite": 12}
SAMPLE_PASSAGES = 300


def package_of(source: Source, cache: Path) -> str:
    """The package to read the source from: one that is cached, else one that apt knows."""
    for name in source.packages:
        if (cache / name).is_dir():
            return name
    if len(source.packages) == 1:
        return source.packages[0]
    return next((name for name in source.packages if known(name)), source.packages[0])


def write(out: Path, corpus: Corpus, manifest: dict[str, object]) -> None:
    """Write the files of the corpus; the manifest comes last and names the sum of each.

    Equal input gives equal bytes. A reader that finds a manifest finds what it describes.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)
    files = {
        "passages.jsonl": _lines(corpus.passages),
        "questions.jsonl": _lines(corpus.questions),
    }
    described = {
        **manifest,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "counts": {
            "passages": dict(sorted(Counter(one.source for one in corpus.passages).items())),
            "questions": dict(sorted(Counter(one.source for one in corpus.questions).items())),
        },
    }
    files["manifest.json"] = (json.dumps(described, indent=1, sort_keys=True) + "\n").encode()
    for name, data in files.items():
        scratch = out / f".{name}.{os.getpid()}"
        scratch.write_bytes(data)
        scratch.replace(out / name)


def _lines(entries: Sequence[Passage | Question]) -> bytes:
    return "".join(
        json.dumps(as_record(entry), ensure_ascii=False) + "\n" for entry in entries
    ).encode()


def _described(source: Source, package: Package, root: Path) -> dict[str, object]:
    notices = sorted(root.glob(source.notice))
    if not notices:
        raise FileNotFoundError(f"{package.name} {package.version} holds no {source.notice}")
    return {
        "package": package.name,
        "version": package.version,
        "architecture": package.architecture,
        "sha256": package.sha256,
        "licence": source.licence,
        "notice": str(notices[0].relative_to(root)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch the packages, build, write, and print the counts; 1 when a package cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the three files")
    parser.add_argument(
        "--sources",
        default=None,
        help=f"comma list of {', '.join(SOURCES)} (default: all; --sample: the three it uses)",
    )
    parser.add_argument("--cache", type=Path, default=None, help="default: $RAGDRILL_CACHE/deb")
    parser.add_argument(
        "--sample",
        action="store_true",
        help=f"only the committed sample: about {SAMPLE_PASSAGES} passages",
    )
    options = parser.parse_args(argv)
    default = SAMPLE_QUESTIONS if options.sample else SOURCES
    names = list(dict.fromkeys(options.sources.split(","))) if options.sources else list(default)
    unknown = [name for name in names if name not in SOURCES]
    if unknown:
        parser.error(f"no source {', '.join(unknown)}; there are {', '.join(SOURCES)}")
    cache: Path = options.cache or default_cache()
    sections: list[Section] = []
    packages: dict[str, object] = {}
    try:
        chosen = {name: package_of(SOURCES[name], cache) for name in names}
        roots = fetch(list(chosen.values()), cache)
        for name, package in chosen.items():
            packages[name] = _described(SOURCES[name], describe(package, cache), roots[package])
            sections.extend(SOURCES[name].read(roots[package]))
    except (DebError, FileNotFoundError) as error:
        print(f"build_corpus: {error}", file=sys.stderr)
        return 1
    corpus = build(sections)
    if options.sample:
        corpus = pick(corpus, {n: SAMPLE_QUESTIONS.get(n, 0) for n in names}, SAMPLE_PASSAGES)
    write(options.out, corpus, {"format": FORMAT, "packages": packages})
    print(f"{len(corpus.passages)} passages, {len(corpus.questions)} questions in {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
