"""Tests for scripts/older_engine.py: which version is the last one, and what is there stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.run import CHECKOUT
from scripts import older_engine


def test_the_last_minor_version_is_one_before() -> None:
    assert older_engine.last_minor("0.9.0") == "0.8"
    assert older_engine.last_minor("1.10.3") == "1.9"


def test_the_first_minor_of_a_major_has_none() -> None:
    with pytest.raises(ValueError, match="first minor"):
        older_engine.last_minor("1.0.4")


def put(place: Path) -> None:
    """Have an engine lie there, as pip leaves it."""
    record = place / "qdrant_edge_py-0.8.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: qdrant-edge-py\nVersion: 0.8.0\n"
    )


def test_what_is_there_is_not_brought_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAGDRILL_CACHE", str(tmp_path))
    monkeypatch.setattr(older_engine.sys, "executable", "/nobody/is/to/start/this")
    place = tmp_path / "engines" / "qdrant-edge-py-0.8"
    put(place)
    assert older_engine.main(["--version", "0.8"]) == 0
    assert capsys.readouterr().out.strip() == str(place)


def test_what_cant_be_had_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "scripts/older_engine.py", "--version", "0.8"],
        cwd=CHECKOUT,
        env={
            "PATH": "/usr/bin:/bin",
            "RAGDRILL_CACHE": str(tmp_path),
            "HOME": str(tmp_path),
            "PIP_NO_INDEX": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and "can't be had" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "engines").iterdir()] == ["qdrant-edge-py-0.8.lock"]


def test_half_an_engine_is_none(tmp_path: Path) -> None:
    place = tmp_path / "engine"
    (place / "qdrant_edge").mkdir(parents=True)
    assert not older_engine.whole(place)
    put(place)
    assert older_engine.whole(place)
