"""The package fetcher: what it leaves in the cache, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "scripts"))

import debs  # noqa: E402

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")


def _package(folder: Path, name: str, text: str) -> Path:
    tree = folder / f"{name}-tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1.2-3\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@example.org>\nDescription: a package for a test\n"
    )
    share = tree / "usr" / "share" / name
    share.mkdir(parents=True)
    (share / "hello.txt").write_text(text)
    archive = folder / f"{name}_1.2-3_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(archive)],
        check=True,
        capture_output=True,
    )
    return archive


def _apt(folder: Path, body: str) -> Path:
    tool = folder / "bin" / "apt-get"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(f"#!/bin/sh\necho called >> {folder}/calls\n{body}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    return tool.parent


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def apt_with_greeting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    archive = _package(tmp_path, "greeting", "hello\n")
    tools = _apt(tmp_path, f"cp {archive} .")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "calls"


@needs_dpkg
def test_a_package_is_unpacked_and_described(cache: Path, apt_with_greeting: Path) -> None:
    root = debs.fetch(["greeting"], cache)["greeting"]
    assert (root / "usr/share/greeting/hello.txt").read_text() == "hello\n"
    described = debs.describe("greeting", cache)
    assert (described.version, described.architecture) == ("1.2-3", "all")
    assert len(described.sha256) == 64


@needs_dpkg
def test_a_cached_package_needs_no_apt(cache: Path, apt_with_greeting: Path) -> None:
    first = debs.fetch(["greeting"], cache)
    assert debs.fetch(["greeting"], cache) == first
    assert apt_with_greeting.read_text() == "called\n"


@needs_dpkg
def test_what_an_interrupted_call_left_is_replaced(cache: Path, apt_with_greeting: Path) -> None:
    (cache / "greeting" / "root").mkdir(parents=True)
    (cache / ".partial-old").mkdir()
    root = debs.fetch(["greeting"], cache)["greeting"]
    assert (root / "usr/share/greeting/hello.txt").is_file()
    assert not list(cache.glob(".partial-*"))


@needs_dpkg
def test_a_damaged_archive_leaves_nothing_in_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = _apt(tmp_path, "echo rubbish > greeting_1_all.deb")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(debs.DebError, match="could not be unpacked"):
        debs.fetch(["greeting"], cache)
    assert [entry.name for entry in cache.iterdir()] == [".lock"]


@needs_dpkg
def test_an_unknown_package_says_what_to_run(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = _apt(tmp_path, "echo 'E: Unable to locate package greeting' >&2; exit 100")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(debs.DebError, match="apt-get update"):
        debs.fetch(["greeting"], cache)


def test_a_system_without_apt_is_told_so(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(debs.DebError, match="needs Debian"):
        debs.fetch(["greeting"], cache)
    assert not debs.known("greeting")


@pytest.mark.parametrize("name", ["../escape", "-o=x", "Upper", ""])
def test_a_name_that_is_no_package_name_is_refused(cache: Path, name: str) -> None:
    with pytest.raises(debs.DebError, match="not a package name"):
        debs.fetch([name], cache)


def test_a_package_that_is_not_cached_cannot_be_described(cache: Path) -> None:
    with pytest.raises(debs.DebError, match="fetch it again"):
        debs.describe("greeting", cache)


def test_the_command_line_reports_a_failure_in_one_line(cache: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts/debs.py"), "greeting", "--cache", str(cache)],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("debs: apt-get was not found")
    assert len(done.stderr.splitlines()) == 1
