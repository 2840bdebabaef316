"""The make targets exist where the pages name them, and none hides a failing exit code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.repo import checkout

TARGETS = set(re.findall(r"^([a-z][a-z-]*):.*##", checkout.read(Path("Makefile")), re.M))
PAGES = [
    path
    for path in checkout.files()
    if path.suffix == ".md" and path.parts[0] not in {"tests", "guide"}
]
IN_CODE = re.compile(r"`([^`\n]+)`|^(?:```\w*\n)(.*?)^```", re.M | re.S)
CALL = re.compile(r"(?:^|&& |; )make ([a-z][a-z-]*(?: [a-z][a-z-]*)*)", re.M)


def _named(text: str) -> set[str]:
    code = "\n".join(inline or block for inline, block in IN_CODE.findall(text))
    return {target for call in CALL.findall(code) for target in call.split()}


def test_every_make_command_that_a_page_names_exists() -> None:
    wrong = {
        str(page): sorted(_named(checkout.read(page)) - TARGETS)
        for page in PAGES
        if _named(checkout.read(page)) - TARGETS
    }
    assert not wrong, f"{wrong}; the Makefile has {sorted(TARGETS)}"


def test_commands_in_a_page_are_found() -> None:
    page = 'Say `make verify ARGS="-x"`, make tea, or\n```sh\ncd x\nmake test lint\n```\n'
    assert _named(page) == {"verify", "test", "lint"}


def test_the_gate_calls_targets_that_exist() -> None:
    called = re.findall(r"^stage \S+ \d+ \S+ (\S+)$", checkout.read(Path(".ci/run")), re.M)
    assert {"test", "lint", "verify", "defects"} <= set(called) <= TARGETS


def test_help_lists_every_target_with_a_line() -> None:
    done = subprocess.run(
        ["make", "help"], cwd=checkout.ROOT, capture_output=True, text=True, check=True, timeout=20
    )
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", done.stdout, re.M))
    assert set(listed) == TARGETS
    assert re.findall(r"^\.DEFAULT_GOAL := (\w+)$", checkout.read(Path("Makefile")), re.M) == [
        "help"
    ]


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str, int], subprocess.CompletedProcess[str]]:
    """Return a function that runs a target whose tools all end with the given exit code."""
    root = tmp_path / "check out"
    (root / "scripts").mkdir(parents=True)
    (root / "benchmarks").mkdir()
    (root / "benchmarks/load.py").touch()
    shutil.copy(checkout.ROOT / "Makefile", root)

    def make(target: str, code: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        _script(root / "scripts/bootstrap.sh", "exit 0")
        _script(root / "scripts/containers/engine.sh", 'exec "$@"')
        for tool in ("ragdrill", "ruff", "mypy"):
            _script(root / ".venv/bin" / tool, f'echo {tool} "$@"; exit {code}')
        # The set-up scripts succeed; everything else that Python runs ends with the code.
        _script(
            root / ".venv/bin/python",
            f'case "$1" in scripts/*) exit 0 ;; esac; echo python "$@"; exit {code}',
        )
        return subprocess.run(
            ["make", target, *arguments],
            cwd=root,
            env=os.environ | {"RAGDRILL_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    return make


def _script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("target", sorted(TARGETS - {"help", "clean", "setup"}))
def test_a_target_fails_when_its_tool_does_and_tells_its_exit_code(
    made: Callable[..., subprocess.CompletedProcess[str]], target: str
) -> None:
    failed = made(target, 5)
    assert failed.returncode == 2  # make's own for any failure
    assert f"make {target}: exit code 5" in failed.stderr
    passed = made(target, 0)
    assert passed.returncode == 0
    assert "exit code" not in passed.stderr


def test_args_are_passed_on(made: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = made("verify", 0, "ARGS=--case recovery")
    assert "ragdrill verify --profile ci --case recovery" in done.stdout


def test_setup_goes_on_loudly_without_what_it_could_not_get(tmp_path: Path) -> None:
    root = tmp_path / "check out"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(checkout.ROOT / "Makefile", root)
    _script(root / "scripts/bootstrap.sh", "exit 0")
    _script(root / ".venv/bin/python", 'echo "$@"; exit 7')
    done = subprocess.run(
        ["make", "setup"],
        cwd=root,
        env=os.environ | {"RAGDRILL_CACHE": str(tmp_path / "a cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert "setup_system.py" in done.stdout
    assert f"build_corpus.py --out {tmp_path}/a cache/corpus" in done.stdout
    assert "older_engine.py" in done.stderr
    assert done.stderr.count("exit code 7") == 3
    assert "not shown" in done.stderr


def test_the_corpus_is_built_once_and_again_when_its_builder_changes(tmp_path: Path) -> None:
    root, cache = tmp_path / "check out", tmp_path / "cache"
    (root / "scripts/corpus").mkdir(parents=True)
    builder = root / "scripts/build_corpus.py"
    builder.touch()
    shutil.copy(checkout.ROOT / "Makefile", root)
    _script(root / "scripts/bootstrap.sh", "exit 0")
    _script(
        root / ".venv/bin/python",
        '[ "$2" = --out ] || exit 0; mkdir -p "$3"; touch "$3/manifest.json"; echo built',
    )

    def built() -> bool:
        done = subprocess.run(
            ["make", "setup"],
            cwd=root,
            env=os.environ | {"RAGDRILL_CACHE": str(cache)},
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        return "built" in done.stdout.splitlines()

    assert [built(), built()] == [True, False]
    newer = (cache / "corpus/manifest.json").stat().st_mtime + 10
    os.utime(builder, (newer, newer))
    assert built()
