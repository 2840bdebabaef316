"""Which images there are to build, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "ragdrill"
DEBIAN = "debian:bookworm-slim"


@dataclass(frozen=True)
class Recipe:
    """One image: its Dockerfile, the stage of it, and the images it is built on by argument."""

    name: str
    dockerfile: str
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)

    def tag(self, version: str) -> str:
        return f"{PREFIX}/{self.name}:{version}"


def recipes(checkout: Path, version: str, debian: str = DEBIAN) -> tuple[Recipe, ...]:
    """Every image, ``wheels`` and ``base`` first; the others need only those two."""
    base = "refstack/images/base/Dockerfile"
    on = {
        "DEBIAN": debian,
        "BASE": f"{PREFIX}/base:{version}",
        "WHEELS": f"{PREFIX}/wheels:{version}",
    }
    names = sorted(path.parent.name for path in (checkout / "refstack/images").glob("*/Dockerfile"))
    return (
        Recipe("wheels", base, "wheels", {"DEBIAN": debian}),
        Recipe("base", base, "", {"DEBIAN": debian}),
        *(
            Recipe(name, path, "", _used(checkout / path, on))
            for name in names
            if name != "base"
            for path in (f"refstack/images/{name}/Dockerfile",)
        ),
    )


def _used(dockerfile: Path, known: Mapping[str, str]) -> dict[str, str]:
    """The arguments that a Dockerfile declares; the engine warns about others."""
    declared = {
        line.split()[1].partition("=")[0]
        for line in dockerfile.read_text().splitlines()
        if line.startswith("ARG ")
    }
    return {name: value for name, value in known.items() if name in declared}
