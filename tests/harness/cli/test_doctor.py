"""``ragdrill doctor`` names what is missing, with the command that helps, and exits accordingly."""

from __future__ import annotations

import argparse
from importlib import metadata

import pytest

from harness.cli import doctor
from harness.drivers.embedded import places, postgres, procfs


def run(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = doctor.doctor(argparse.Namespace(target=None))
    return code, capsys.readouterr().out


def test_this_machine_can_run_the_stack(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys)
    assert code == 0, text
    for label in ("python", "postgresql", "user namespaces", "disk, scratch", "memory", "ports"):
        assert [line for line in text.splitlines() if line.startswith(label) and " ok " in line]
    assert "\x1b" not in text


def test_postgresql_that_cannot_run_is_told_with_the_way_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres.os, "geteuid", lambda: 0)
    monkeypatch.setattr(procfs, "user_namespaces_work", lambda *_: False)
    code, text = run(capsys)
    assert code == 2
    assert "MISSING PostgreSQL does not run as root" in text
    assert "user namespaces  MISSING" in text and "--user 1000" in text


def test_a_missing_package_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = metadata.version

    def absent(name: str) -> str:
        if name == "qdrant-edge-py":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", absent)
    code, text = run(capsys)
    assert code == 2 and "not installed: qdrant-edge-py" in text and "pip install -e ." in text


def test_a_missing_optional_program_is_no_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "system_bin", lambda _: None)
    code, text = run(capsys)
    assert code == 0
    assert text.count("missing (optional)") == 4 and places.SETUP in text


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [("LEAST_ROOM_BYTES", 1 << 60, "disk, scratch"), ("LEAST_MEMORY_BYTES", 1 << 60, "memory")],
)
def test_too_little_of_something_is_named(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: int,
    label: str,
) -> None:
    monkeypatch.setattr(doctor, name, value)
    code, text = run(capsys)
    (line,) = [line for line in text.splitlines() if line.startswith(label)]
    assert code == 2 and "MISSING" in line
