"""The catalogue of images: what it says of each role, what replaces it, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.core.registry import ROLES
from harness.drivers.containers import images
from harness.drivers.containers.images import CATALOGUE, ImageError, image, read_catalogue

ENTRY = 'image = "{image}"\nsoftware = "X"\nport = 80\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "images.toml"
    path.write_text(text)
    return path


def test_every_role_of_the_reference_stack_has_an_image() -> None:
    assert set(images.roles()) == set(ROLES)
    assert set(images.roles("local")) == set(ROLES) - {"dashboards"}


def test_official_images_are_pinned_and_local_ones_carry_the_checkouts_version() -> None:
    for role in images.roles():
        for source in images.SOURCES:
            found = image(role, source, {})
            tag = found.reference.partition("@")[0].rpartition(":")[2]
            assert tag not in ("", "latest"), found.reference
            if found.source == "local":
                assert found.reference == f"ragdrill/{found.build}:{harness.__version__}"


def test_every_local_image_has_a_recipe() -> None:
    for role in images.roles("local"):
        build = image(role, "local", {}).build
        assert (CATALOGUE.parent / build / "Dockerfile").is_file(), role


def test_our_own_services_have_no_official_image() -> None:
    for role in ("gateway", "embed", "rerank", "auth"):
        assert image(role, "official", {}).reference == image(role, "local", {}).reference


def test_the_environment_replaces_an_image() -> None:
    found = image("gateway", "official", {"RAGDRILL_IMAGE_GATEWAY": "registry:5000/gw:1.4"})
    assert found.reference == "registry:5000/gw:1.4"
    assert found.replaced and found.port == 8080 and found.build == ""


def test_a_replacement_is_run_as_the_product_that_it_is() -> None:
    found = image("vectordb", "local", {"RAGDRILL_IMAGE_VECTORDB": "qdrant/qdrant:v1.18.2"})
    assert (found.data, found.stand_in) == ("/qdrant/storage", False)
    other = {"RAGDRILL_IMAGE_EMBED": "ghcr.io/huggingface/text-embeddings-inference:cpu-1.9"}
    assert image("embed", "official", other).port == 80


@pytest.mark.parametrize("given", ["gate way", "ours/UPPER:1", "name:tag:tag", "name@sha256:12"])
def test_a_replacement_that_is_no_image_is_refused(given: str) -> None:
    with pytest.raises(ImageError, match="RAGDRILL_IMAGE_GATEWAY"):
        image("gateway", "official", {"RAGDRILL_IMAGE_GATEWAY": given})


def test_an_unknown_role_or_source_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ImageError, match="vectordb"):
        image("database", "official", {})
    with pytest.raises(ImageError, match="official or local"):
        image("gateway", "remote", {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [
        ("qdrant/qdrant:v1", "qdrant/qdrant"),
        ("ghcr.io/a/b:1@sha256:" + "0" * 64, "ghcr.io/a/b"),
        ("host:5000/a", "host:5000/a"),
        ("host:5000/a:2", "host:5000/a"),
        ("nginx", "nginx"),
    ],
)
def test_a_repository_is_the_reference_without_tag_and_digest(reference: str, wanted: str) -> None:
    assert images.repository(reference) == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no images"),
        ("x = ", "can't be read"),
        ("[roles.unknown.local]\n" + ENTRY.format(image="a/b"), "no role 'unknown'"),
        ("[roles.gateway.remote]\n" + ENTRY.format(image="a/b"), "no source"),
        ("[roles.gateway.local]\n" + ENTRY.format(image="a/b:1"), "has a tag"),
        ("[roles.vectordb.official]\n" + ENTRY.format(image="a/b"), "is not pinned"),
        ("[roles.vectordb.official]\n" + ENTRY.format(image="a/b:latest"), "is not pinned"),
        ("[roles.vectordb.official]\n" + ENTRY.format(image="a b:1"), "official.image"),
        (
            "[roles.vectordb.official]\n" + ENTRY.format(image="a/b:1") + 'digest = "sha256:1"\n',
            "official.digest",
        ),
        ("[roles.gateway.local]\n" + ENTRY.format(image="a/b") + "ports = 1\n", "local.ports"),
        ('[roles.gateway.local]\nimage = "a/b"\nsoftware = "X"\nport = 0\n', "local.port"),
    ],
)
def test_a_wrong_catalogue_names_the_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        read_catalogue(written(tmp_path, text))
