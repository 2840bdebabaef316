"""``make images``: builds every image of the reference stack; a second call finds them built.

Exit codes: 0 all are there; 1 an image could not be built; 2 no engine answers, or Debian's base
image can't be had; 4 usage; 130 interrupted (call it again: what is built stays built).
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import harness
from harness.core.errors import HarnessError
from scripts.images import engine
from scripts.images.context import certificates, context
from scripts.images.debian import have_base
from scripts.images.recipes import DEBIAN, Recipe, recipes

CHECKOUT = Path(__file__).resolve().parents[2]


def main(argv: Sequence[str] | None = None) -> int:
    """Build what is asked for; returns the exit code."""
    known = recipes(CHECKOUT, harness.__version__)
    options = _options(argv, [recipe.name for recipe in known])
    chosen = recipes(CHECKOUT, harness.__version__, options.debian)
    wanted = [recipe for recipe in chosen if not options.only or recipe.name in options.only]
    if options.list:
        for recipe in wanted:
            tag = recipe.tag(harness.__version__)
            print(f"{tag}  {'built' if engine.image_id(tag) else 'not built'}")
        return 0
    try:
        version = engine.require_engine()
        _tell(f"engine {version}, {len(wanted)} images, version {harness.__version__}")
        with _alone():
            how = have_base(options.debian, engine.docker, _tell)
            _tell(f"{options.debian}: {how}")
            return _build_all(wanted, fresh=options.no_cache, jobs=options.jobs)
    except HarnessError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1 if isinstance(error, engine.BuildFailed) else 2
    except KeyboardInterrupt:
        print("images: interrupted; call it again, what is built stays built", file=sys.stderr)
        return 130


def _options(argv: Sequence[str] | None, names: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m scripts.images",
        description="Builds the images of the reference stack from Debian and PyPI packages.",
        epilog="Exit codes: 0 all are there; 1 an image could not be built; 2 no engine, or no "
        "Debian base image; 4 usage; 130 interrupted.",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, default=[])
    parser.add_argument("--list", action="store_true", help="say which there are; build nothing")
    parser.add_argument("--no-cache", action="store_true", help="build every layer anew")
    parser.add_argument("--jobs", type=int, default=2, help="builds at a time (2)")
    parser.add_argument("--debian", default=DEBIAN, help=f"the base image ({DEBIAN})")
    options = parser.parse_args(argv)
    if options.jobs < 1:
        parser.error("--jobs must be 1 or more")
    return options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        print(f"images: {message}\n{self.format_usage()}", file=sys.stderr)
        raise SystemExit(4)


def _build_all(wanted: Sequence[Recipe], *, fresh: bool, jobs: int) -> int:
    archive = context(CHECKOUT, certificates(os.environ))
    began, done, lock = time.monotonic(), 0, threading.Lock()

    def make(recipe: Recipe) -> None:
        nonlocal done
        tag = recipe.tag(harness.__version__)
        built = engine.build(
            tag,
            recipe.dockerfile,
            archive,
            target=recipe.target,
            arguments=recipe.arguments,
            fresh=fresh,
        )
        with lock:
            done += 1
            state = "built" if built.changed else "unchanged"
            _tell(f"{done}/{len(wanted)} {tag}  {state} in {built.seconds:.1f} s")

    # The first two are what the others stand on.
    below = [recipe for recipe in wanted if recipe.name in ("wheels", "base")]
    for recipe in below:
        _tell(f"building {recipe.name} ...")
        make(recipe)
    failed = 0
    with ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(make, recipe) for recipe in wanted if recipe not in below]
        for task in as_completed(tasks):
            try:
                task.result()
            except HarnessError as error:
                failed += 1
                print(f"images: {error}", file=sys.stderr)
    seconds = time.monotonic() - began
    _tell(f"{len(wanted) - failed} of {len(wanted)} images are there, {seconds:.0f} s")
    return 1 if failed else 0


class _alone:
    """One build of images at a time on this machine; a second waits for the first."""

    def __enter__(self) -> None:
        path = Path(tempfile.gettempdir()) / f"ragdrill-images-{os.getuid()}.lock"
        self._file = path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _tell("another build of images is under way: waiting for it ...")
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_exception: object) -> None:
        self._file.close()


def _tell(line: str) -> None:
    print(f"images: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
