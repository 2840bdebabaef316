"""The builder of images: what it sends, in which order, and what it says when it can't."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from harness.core.errors import TargetError
from scripts.images import debian, engine
from scripts.images.context import CA_NAME, certificates, context
from scripts.images.recipes import recipes

ROOT = Path(__file__).resolve().parents[3]


def names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return opened.getnames()


def a_checkout(folder: Path) -> Path:
    for name in ("refstack/images/base/Dockerfile", "refstack/a.py", "harness/core/b.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for part in ("harness/checks", "scripts/dayops"):
        (folder / part).mkdir(parents=True)
    (folder / "harness/__init__.py").write_text("")
    return folder


def test_the_context_is_the_same_bytes_whatever_the_files_times(tmp_path: Path) -> None:
    checkout = a_checkout(tmp_path)
    first = context(checkout)
    os.utime(checkout / "refstack/a.py", (1, 1))
    (checkout / "refstack/__pycache__").mkdir()
    (checkout / "refstack/__pycache__/a.pyc").write_bytes(b"x")
    assert context(checkout) == first
    (checkout / "refstack/a.py").write_text("other")
    assert context(checkout) != first


def test_the_context_holds_no_secret_and_nothing_of_a_run() -> None:
    for name in names(context(ROOT)):
        assert not name.endswith((".pem", ".pyc", "secrets.json")), name
        assert name.startswith(("refstack/", "harness/", "scripts/dayops/")), name
        assert "/.env" not in name


def test_certificates_are_added_only_where_the_environment_names_some(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("CERTIFICATE")
    assert certificates({"PIP_CERT": str(tmp_path / "absent"), "SSL_CERT_FILE": ""}) is None
    assert certificates({"PIP_CERT": str(bundle)}) == bundle
    assert CA_NAME in names(context(ROOT, bundle))
    assert CA_NAME not in names(context(ROOT))


def test_what_others_stand_on_is_built_first() -> None:
    order = [recipe.name for recipe in recipes(ROOT, "1.2")]
    assert order[:2] == ["wheels", "base"]
    assert len(order) == len(set(order)) >= 18
    metadata = next(each for each in recipes(ROOT, "1.2") if each.name == "metadata")
    assert metadata.arguments == {"BASE": "ragdrill/base:1.2", "WHEELS": "ragdrill/wheels:1.2"}
    assert metadata.tag("1.2") == "ragdrill/metadata:1.2"


# --- Debian -----------------------------------------------------------------------------------


class Docker:
    """Answers as an engine would: ``known`` commands succeed."""

    def __init__(self, *known: str) -> None:
        self.known, self.asked = known, []  # type: ignore[var-annotated]

    def __call__(self, *arguments: str, timeout_s: float = 0.0) -> str | None:
        self.asked.append(arguments[0])
        return "done" if arguments[0] in self.known else None


def test_debian_is_taken_where_it_is_there() -> None:
    docker = Docker("image")
    assert debian.have_base("debian:x", docker, lambda _: None) == "there"
    assert docker.asked == ["image"]


def test_debian_is_pulled_where_it_can_be() -> None:
    assert debian.have_base("debian:x", Docker("pull"), lambda _: None) == "pulled"


def test_debian_is_made_where_nothing_can_be_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(debian, "cannot_make", lambda: "")
    monkeypatch.setattr(debian, "make_base", made.append)
    assert debian.have_base("debian:x", Docker(), lambda _: None) == "made"
    assert made == ["debian:x"]


def test_without_debian_every_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "cannot_make", lambda: "debootstrap needs root")
    with pytest.raises(TargetError, match=r"(?s)pulling failed, and debootstrap needs root.*load"):
        debian.have_base("debian:x", Docker(), lambda _: None)


# --- the command ------------------------------------------------------------------------------


def run(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.images", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_docker_command_is_exit_code_2_with_the_way_out(tmp_path: Path) -> None:
    done = run(path=str(tmp_path))
    assert done.returncode == 2
    assert "no docker command" in done.stderr and "apt-get install docker.io" in done.stderr


def test_no_engine_is_exit_code_2_with_the_way_out(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    program.chmod(0o755)
    done = run(path=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 2
    assert "Cannot connect" in done.stderr and "systemctl start docker" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--jobs", "0"], ["--unknown"]])
def test_wrong_arguments_are_exit_code_4(arguments: list[str]) -> None:
    done = run(*arguments, path=os.environ["PATH"])
    assert done.returncode == 4
    assert "images:" in done.stderr


@pytest.mark.slow
def test_what_is_built_is_not_built_again() -> None:
    try:
        engine.require_engine()
    except TargetError as error:
        pytest.skip(error.what)
    if not engine.image_id("ragdrill/pager:0.1.0"):
        pytest.skip("run `make images`: ragdrill/pager is not built")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.images", "--only", "pager"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert engine.labels("ragdrill/pager:0.1.0")["ragdrill.image"] == "1"
