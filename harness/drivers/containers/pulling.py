"""Has every image at hand before the first container starts, with progress, or says what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import docker
import docker.errors
import requests

from harness.core.errors import TargetError
from harness.drivers.containers.images import OVERRIDE, Image

_TELL_S = 5.0


class ImageMissing(TargetError):
    """An image is not there and can't be had."""


def fetch(
    client: docker.DockerClient, wanted: Iterable[Image], tell: Callable[[str], None]
) -> None:
    """Pull what is not there yet.

    Raises:
        ImageMissing: names the image, why it can't be had, and the way out.
    """
    for reference, image in {each.reference: each for each in wanted}.items():
        if not is_there(client, reference):
            _pull(client, image, tell)


def is_there(client: docker.DockerClient, reference: str) -> bool:
    """Whether the engine has the image."""
    try:
        client.api.inspect_image(reference)
    except docker.errors.ImageNotFound:
        return False
    return True


def _pull(client: docker.DockerClient, image: Image, tell: Callable[[str], None]) -> None:
    if image.build and not image.replaced:
        raise ImageMissing(
            f"The image of {image.role} is not built.",
            expected=image.reference,
            actual="the engine does not have it",
            next_step="make images",
        )
    tell(f"ragdrill: pulling {image.reference} for {image.role} ...")
    try:
        _follow(client, image.reference, tell)
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise ImageMissing(
            f"The image of {image.role} can't be pulled.",
            expected=image.reference,
            actual=str(error),
            next_step=f"--images local with images from `make images`; or name another one in "
            f"{OVERRIDE}{image.role.upper()}; or docker pull it by hand",
        ) from error


def _follow(client: docker.DockerClient, reference: str, tell: Callable[[str], None]) -> None:
    done: dict[str, tuple[int, int]] = {}
    told = time.monotonic()
    name, _, digest = reference.partition("@")
    head, colon, tag = name.rpartition(":")
    repository, version = (head, tag) if colon and "/" not in tag else (name, "latest")
    for line in client.api.pull(repository, tag=digest or version, stream=True, decode=True):
        if "error" in line:
            raise docker.errors.APIError(line["error"])
        detail = line.get("progressDetail") or {}
        if detail.get("total"):
            done[line["id"]] = (detail["current"], detail["total"])
        if done and time.monotonic() - told > _TELL_S:
            told = time.monotonic()
            current, total = (sum(each) >> 20 for each in zip(*done.values(), strict=True))
            tell(f"ragdrill:   {name}: {current} of {total} MiB")
