"""The harness's own image: built as its page says, and run as a CI would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.images import engine
from scripts.images.context import certificates
from scripts.images.recipes import DEBIAN

# Two minutes of downloads where nothing of it was built before.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[3]
BUILD_S, RUN_S = 1200, 240
CASE = "isolation/query::asking_for_foreign_text_returns_only_own_documents"
NOBODY = "isolation/query::there_is_no_such_case"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The image's command with these arguments, in a container that is gone afterwards."""
    return subprocess.run(
        ["docker", "run", "--rm", *arguments],
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, built from a copy of the checkout; skips where no engine or no base is."""
    if shutil.which("docker") is None or not engine.docker("version"):
        pytest.skip("no Docker engine answers")
    if not engine.image_id(DEBIAN):
        pytest.skip(f"there is no {DEBIAN}: run `make images`")
    checkout = tmp_path_factory.mktemp("checkout")
    for name in subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True
    ).split("\0"):
        if name and (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    bundle = certificates(os.environ)
    if bundle is not None:
        shutil.copy(bundle, checkout / "ca.pem")
    proxies = (name for name in ("http_proxy", "https_proxy", "no_proxy") if name in os.environ)
    tag = f"ragdrill-test/harness:{os.getpid()}"
    done = subprocess.run(
        [
            *("docker", "build", "-q", "-t", tag),
            *(word for name in proxies for word in ("--build-arg", f"{name}={os.environ[name]}")),
            str(checkout),
        ],
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    try:
        yield tag
    finally:
        subprocess.run(["docker", "image", "rm", "-f", tag], capture_output=True, check=False)


def test_it_is_nobody_of_consequence_and_holds_no_certificates(image: str) -> None:
    done = run("--entrypoint", "sh", image, "-c", "id -u; ls -A /ragdrill; ls -A /ragdrill/runs")
    assert done.returncode == 0, done.stderr
    uid, *names = done.stdout.split()
    assert uid == "10001" and "suites" in names
    assert not {"ca.pem", ".git", ".venv", "run.jsonl"} & set(names)


def test_a_case_is_shown_on_a_stack_booted_inside(image: str) -> None:
    kept = f"ragdrill verify --case '{CASE}' --run-dir runs/one; code=$?; cat runs/one/run.jsonl"
    done = run("--entrypoint", "sh", image, "-c", f"{kept}; exit $code")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"v": 1')]
    (verdict,) = (line for line in lines if line["kind"] == "run.verdict")
    assert verdict["verdict"] == "pass" and verdict["counts"]["pass"] == 1


def test_it_ends_with_the_documented_codes(image: str) -> None:
    assert run(image, "--help").returncode == 0
    done = run(image, "verify", "--case", NOBODY)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
