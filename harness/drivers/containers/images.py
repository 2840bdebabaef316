"""Which image fills a role and how it is run: the catalogue, and what the environment replaces."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

import harness
from harness.core.errors import UsageError
from harness.core.registry import ROLES
from harness.core.run import CHECKOUT

CATALOGUE = CHECKOUT / "refstack" / "images" / "images.toml"
OVERRIDE = "RAGDRILL_IMAGE_"
"""Before a role's name in capitals: the variable that replaces its image."""

Source = Literal["official", "local", "alternative"]
SOURCES: tuple[Source, ...] = get_args(Source)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# The grammar of an image's reference, less its length limits (OCI distribution specification).
_REFERENCE = re.compile(
    r"(?:[a-zA-Z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


class ImageError(UsageError):
    """The catalogue of images, or what replaces one of them, is wrong."""


class _Entry(BaseModel):
    """One image as the catalogue writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str
    digest: str = ""
    software: str
    port: int = Field(ge=1, le=65535)
    user: str = Field(default="", pattern=r"^(\d+:\d+)?$")
    health: str = Field(default="", pattern=r"^(/.*)?$")
    check: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    data: str = Field(default="", pattern=r"^(/.+)?$")
    config: dict[str, str] = Field(default_factory=dict)
    stand_in: bool = False
    gpu: bool = False
    note: str = ""

    @field_validator("image")
    @classmethod
    def _is_reference(cls, given: str) -> str:
        if not _REFERENCE.fullmatch(given) or "@" in given:
            raise ValueError("an image is named like registry/name:tag, its digest apart")
        return given

    @field_validator("digest")
    @classmethod
    def _is_digest(cls, given: str) -> str:
        if given and not _DIGEST.fullmatch(given):
            raise ValueError("a digest is sha256: and 64 hexadecimal digits")
        return given


@dataclass(frozen=True)
class Image:
    """An image that fills a role, and what a driver must know to run it.

    ``reference`` is what the engine is asked for; ``port`` the one it serves on inside; ``user``
    ``uid:gid`` or empty (the image's own); ``health`` an HTTP path that answers 200 when ready;
    ``check`` a command inside it that ends with 0 when ready, for what speaks no HTTP; ``command``
    the arguments after its entrypoint; ``data`` the directory that outlives it; ``config`` where
    inside each configuration file is read, by name; ``replaced`` whether the environment chose it.
    """

    role: str
    source: Source
    reference: str
    software: str
    port: int
    user: str = ""
    health: str = ""
    check: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    data: str = ""
    config: Mapping[str, str] | None = None
    stand_in: bool = False
    gpu: bool = False
    note: str = ""
    replaced: bool = False

    @property
    def repository(self) -> str:
        """The reference without tag and digest."""
        return repository(self.reference)

    @property
    def build(self) -> str:
        """The directory below ``refstack/images`` that builds it; empty for an official one."""
        name = self.repository
        return name.removeprefix("ragdrill/") if name.startswith("ragdrill/") else ""


def repository(reference: str) -> str:
    """``ghcr.io/a/b`` of ``ghcr.io/a/b:tag@sha256:...``; a port in the registry's name stays."""
    name = reference.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def image(
    role: str, source: Source = "official", environ: Mapping[str, str] | None = None
) -> Image:
    """Return the image of a role; the environment's choice goes before the catalogue's.

    A role with no image of this source has one of another (our own services have no official one,
    the dashboards no local one). An image that replaces another is run as whichever of the role's
    it is a version of, by its repository, else as the one it replaces.

    Raises:
        ImageError: there is no such role or source, or the environment names no image.
    """
    if source not in SOURCES:
        raise ImageError(
            f"There is no source of images named {source!r}.",
            expected=" or ".join(SOURCES),
            actual=source,
        )
    known = _catalogue(CATALOGUE)
    if role not in known:
        raise ImageError(
            f"No image is known for the role {role!r}.", expected=", ".join(known), actual=role
        )
    kinds = known[role]
    chosen = next(kinds[each] for each in (source, *SOURCES) if each in kinds)
    variable = OVERRIDE + role.upper()
    given = (os.environ if environ is None else environ).get(variable, "")
    if not given:
        return chosen
    if not _REFERENCE.fullmatch(given):
        raise ImageError(
            f"{variable} names no image.",
            expected="registry/name:tag or registry/name@sha256:...",
            actual=given,
            next_step=f"correct {variable}, or unset it for {chosen.reference}",
        )
    same = [each for each in kinds.values() if each.repository == repository(given)]
    return replace(same[0] if same else chosen, reference=given, replaced=True)


def known_image(role: str, reference: str) -> Image | None:
    """What the catalogue knows of an image in a role; None for one that it does not know."""
    if role not in roles():
        return None
    kinds = (image(role, source, {}) for source in SOURCES)
    return next((each for each in kinds if each.repository == repository(reference)), None)


def roles(source: Source | None = None) -> tuple[str, ...]:
    """The roles that have an image, or one of this source."""
    known = _catalogue(CATALOGUE)
    return tuple(role for role, kinds in known.items() if source is None or source in kinds)


@cache
def _catalogue(path: Path) -> dict[str, dict[Source, Image]]:
    return read_catalogue(path)


def read_catalogue(path: Path) -> dict[str, dict[Source, Image]]:
    """Read and check a catalogue: by role, then by source.

    Raises:
        ImageError: names the file, the place in it and what is wrong there.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ImageError(
            "The catalogue of images can't be read.",
            expected=f"TOML in {path}",
            actual=str(error),
        ) from error
    found: dict[str, dict[Source, Image]] = {}
    for role, kinds in raw.get("roles", {}).items():
        if role not in ROLES:
            raise ImageError(
                f"{path.name}: there is no role {role!r}.", expected=", ".join(ROLES), actual=role
            )
        found[role] = {}
        for name, entry in kinds.items():
            where = f"roles.{role}.{name}"
            if name not in SOURCES:
                raise ImageError(
                    f"{path.name}: {where} is no source of images.",
                    expected=" or ".join(SOURCES),
                    actual=name,
                )
            source = next(each for each in SOURCES if each == name)
            found[role][source] = _image(role, source, entry)
    if not found:
        raise ImageError(
            f"{path.name} has no images.", expected="tables like [roles.gateway.local]"
        )
    return found


def _image(role: str, source: Source, raw: object) -> Image:
    where = f"roles.{role}.{source}"
    try:
        entry = _Entry.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([where, *(str(part) for part in first["loc"])])
        raise ImageError(
            f"{CATALOGUE.name}: {place} is wrong.",
            expected=", ".join(_Entry.model_fields)
            if first["type"] == "extra_forbidden"
            else first["msg"],
            actual=first.get("input"),
        ) from error
    reference = entry.image
    if source == "local":
        if ":" in reference:
            raise ImageError(
                f"{CATALOGUE.name}: {where} has a tag.",
                expected="none: what is built here is tagged with the checkout's version",
                actual=reference,
            )
        reference = f"{reference}:{harness.__version__}"
    elif repository(reference) == reference or reference.endswith(":latest"):
        raise ImageError(
            f"{CATALOGUE.name}: {where} is not pinned.",
            expected="a tag other than latest",
            actual=reference,
        )
    if entry.digest:
        reference = f"{reference}@{entry.digest}"
    rest = entry.model_dump(exclude={"image", "digest"})
    return Image(role=role, source=source, reference=reference, **rest)
