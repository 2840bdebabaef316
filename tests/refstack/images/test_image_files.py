"""What is said in several places about images and the Compose project says the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import harness
from harness.core.registry import ROLES
from harness.core.target import load_target
from harness.drivers.containers.images import image, roles
from harness.drivers.embedded.metrics import alertmanager_config, prometheus_config

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "refstack" / "images"
DOCKERFILES = sorted(IMAGES.glob("*/Dockerfile"))
WHOLE = (ROOT / "Dockerfile", ROOT / "Dockerfile.gpu")
COMPOSE = ROOT / "refstack" / "compose.yaml"


def named(path: Path) -> str:
    return path.parent.name if path.name == "Dockerfile" and path.parent != ROOT else path.name


def instructions(path: Path) -> list[list[str]]:
    """Each instruction of a Dockerfile with its arguments, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [line.split() for line in lines if line.strip()]


@pytest.mark.parametrize("path", [*DOCKERFILES, *WHOLE], ids=named)
def test_every_image_ends_as_an_ordinary_user(path: Path) -> None:
    users = [words[1] for words in instructions(path) if words[0] == "USER"]
    assert users and users[-1] == "10001:10001"


@pytest.mark.parametrize("path", [*DOCKERFILES, *WHOLE], ids=named)
def test_every_image_starts_from_an_argument_and_never_from_latest(path: Path) -> None:
    stages: set[str] = set()
    for words in instructions(path):
        if words[0] == "ARG":
            assert "latest" not in words[1]
        if words[0] == "FROM":
            assert words[1].startswith("${") or words[1] in stages, words
            stages.update(words[3:4])


@pytest.mark.parametrize("path", [*DOCKERFILES, *WHOLE], ids=named)
def test_nothing_needs_more_than_the_classic_builder(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"--mount=|<<EOF|COPY --(chmod|link)|# *syntax=", text)


@pytest.mark.parametrize("path", [*DOCKERFILES, *WHOLE], ids=named)
def test_what_is_copied_is_there(path: Path) -> None:
    for words in instructions(path):
        if words[0] == "COPY" and not any(word.startswith("--from") for word in words):
            sources = [word for word in words[1:-1] if not word.startswith("--")]
            for source in sources:
                # Certificates are there only where a network needs some.
                assert "ca*.pem" in source or (ROOT / source).exists(), source


@pytest.mark.parametrize("path", DOCKERFILES, ids=named)
def test_every_service_says_how_it_is(path: Path) -> None:
    words = {words[0] for words in instructions(path)}
    assert path.parent.name == "base" or {"HEALTHCHECK", "EXPOSE"} <= words


@pytest.mark.parametrize("role", roles("local"))
def test_the_catalogue_knows_the_image_as_its_recipe_makes_it(role: str) -> None:
    known = image(role, "local", {})
    found = instructions(IMAGES / known.build / "Dockerfile")
    assert ["EXPOSE", str(known.port)] in found
    volumes = {word for words in found if words[0] == "VOLUME" for word in words[1:]}
    assert not known.data or known.data in volumes


def pins(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_text().splitlines() if line and line[0] != "#")
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("name", ["base/requirements.txt", "base/servers.txt", "harness.txt"])
def test_pinned_versions_are_ones_that_the_project_allows(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    allowed = {}
    for text in [*project["dependencies"], *extras]:
        requirement = Requirement(text)
        allowed[re.sub(r"[-_.]+", "-", requirement.name).lower()] = requirement.specifier
    given = pins(IMAGES / name)
    assert given
    for package, version in given.items():
        if package in allowed:
            assert allowed[package].contains(version, prereleases=True), package


def test_the_harness_image_holds_everything_that_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.sub(r"[-_.]+", "-", Requirement(each).name).lower() for each in project["dependencies"]
    }
    assert wanted <= set(pins(IMAGES / "harness.txt"))


# --- the Compose project ----------------------------------------------------------------------


def services() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def test_compose_has_the_operations_guides_services() -> None:
    assert {
        *("rag-gateway", "rag-embed-gpu", "rag-rerank-gpu", "qdrant", "supabase", "minio"),
        *("nginx", "prometheus", "alertmanager", "grafana", "loki"),
    } <= set(services())


def test_compose_takes_the_catalogues_images_unless_told_otherwise() -> None:
    given = re.findall(
        r"image: (?:\S+:-)?\$\{RAGDRILL_IMAGE_([A-Z]+):-([^}]+)\}", COMPOSE.read_text()
    )
    assert len({role for role, _ in given}) >= len(ROLES) - 2
    for role, reference in given:
        # PostgreSQL of the official image has no archiver.
        source = "local" if role == "METADATA" else "official"
        assert reference == image(role.lower(), source, {}).reference, role


def test_the_local_images_are_all_named_with_the_checkouts_version() -> None:
    lines = (ROOT / "refstack" / "compose.local.env").read_text().splitlines()
    given = dict(line.split("=") for line in lines if line and line[0] != "#")
    wanted = {
        f"RAGDRILL_IMAGE_{role.upper()}": image(role, "local", {}).reference
        for role in roles("local")
    }
    assert given == wanted
    assert all(each.endswith(f":{harness.__version__}") for each in given.values())


def test_no_secret_has_a_default_and_each_is_in_the_example() -> None:
    text = COMPOSE.read_text()
    secrets = set(re.findall(r"\$\{([A-Z0-9_]+):\?\}", text))
    example = (ROOT / "refstack" / "compose.env.example").read_text()
    assert secrets <= set(re.findall(r"^([A-Z0-9_]+)=$", example, re.MULTILINE))
    for name in re.findall(r"\$\{([A-Z0-9_]+):-[^}]", text):
        assert not re.search(r"PASSWORD|_KEY|SECRET|TOKEN", name), name


def test_only_the_edge_and_the_dashboards_are_published_and_on_loopback() -> None:
    for name, service in services().items():
        ports = service.get("ports", [])
        assert not ports or name in ("nginx", "grafana"), name
        assert all("127.0.0.1" in str(port) for port in ports), name  # type: ignore[attr-defined]


def test_the_target_file_maps_services_that_are_there() -> None:
    target = load_target(ROOT / "refstack" / "compose.target.toml")
    known = set(services())
    assert {section.service for section in target.roles.values()} <= known
    assert target.compose is not None and target.compose.rollout is not None
    assert target.compose.rollout.service in known


def test_alertmanagers_file_is_the_shipped_one_with_the_pagers_address() -> None:
    text = (ROOT / "refstack/config/compose/alertmanager.yml").read_text()
    shipped = yaml.safe_load(alertmanager_config("http://rag-pager:8080", 1.0))
    assert yaml.safe_load(text) == shipped


def test_prometheus_scrapes_what_it_scrapes_everywhere() -> None:
    def jobs(text: str) -> dict[str, set[str]]:
        return {
            job["job_name"]: {each["labels"]["instance"] for each in job["static_configs"]}
            for job in yaml.safe_load(text)["scrape_configs"]
        }

    shipped = prometheus_config(lambda name: f"{name}:1", 1.0, objectstore=None, alerts=True)
    given = (ROOT / "refstack/config/compose/prometheus.yml").read_text()
    assert jobs(given) == jobs(shipped)
