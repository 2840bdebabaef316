"""Programs that no wheel ships are used from PATH or assembled from packages, all or nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts import debs, setup_system

COMPILED_IN = "/usr/share/prometheus/alertmanager"
SCRIPT = '#!/bin/sh\necho "{name}, version 9.9 (branch: x)"\n'


@pytest.fixture(autouse=True)
def _nothing_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_system.shutil, "which", lambda _: None)


def packages(root: Path) -> dict[str, Path]:
    """Unpacked packages with scripts in place of the programs."""
    roots = {name: root / name / "root" for name in ("prometheus", "prometheus-alertmanager")}
    for name, (_, package, inside) in setup_system.PROGRAMS.items():
        path = roots[package] / "usr" / "bin" / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        extra = f"# reads {COMPILED_IN}/default.tmpl\n" if name == "alertmanager" else ""
        path.write_text(SCRIPT.format(name=name) + extra)
        path.chmod(0o755)
    templates = roots["prometheus-alertmanager"] / COMPILED_IN.lstrip("/")
    templates.mkdir(parents=True)
    (templates / "default.tmpl").write_text("a template")
    return roots


def test_programs_run_from_where_they_were_unpacked(tmp_path: Path) -> None:
    setup_system.assemble(tmp_path / "system", packages(tmp_path / "deb"))
    assert setup_system.missing_programs(tmp_path / "system") == []
    for name in setup_system.PROGRAMS:
        path = setup_system.locate(name, tmp_path / "system")
        assert path is not None and setup_system.version_of(path) == f"{name}, version 9.9"


def test_alertmanager_finds_its_templates_from_its_working_directory(tmp_path: Path) -> None:
    setup_system.assemble(tmp_path / "system", packages(tmp_path / "deb"))
    text = (tmp_path / "system" / "bin" / "alertmanager").read_text()
    assert COMPILED_IN not in text
    path = text.split("# reads ")[1].strip()
    assert len(path) == len(f"{COMPILED_IN}/default.tmpl"), "a compiled-in length stays as it is"
    read = subprocess.run(
        ["cat", path], cwd=tmp_path / "system", capture_output=True, text=True, check=True
    )
    assert read.stdout == "a template"


def test_a_package_without_the_program_leaves_nothing_half_done(tmp_path: Path) -> None:
    roots = packages(tmp_path / "deb")
    (roots["prometheus"] / "usr" / "bin" / "promtool").unlink()
    with pytest.raises(setup_system.SetupProblem, match="promtool"):
        setup_system.assemble(tmp_path / "system", roots)
    assert [path.name for path in tmp_path.iterdir()] == ["deb"]


def test_what_is_there_already_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    setup_system.assemble(tmp_path / "system", packages(tmp_path / "deb"))

    def fetch(*_: object) -> dict[str, Path]:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(debs, "fetch", fetch)
    assert setup_system.set_up(tmp_path)
    assert capsys.readouterr().out.count("version 9.9") == 4


def test_what_cannot_be_had_is_said_loudly_and_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(*_: object) -> dict[str, Path]:
        raise debs.DebError("there is no network")

    monkeypatch.setattr(debs, "fetch", fetch)
    monkeypatch.setattr("sys.argv", ["setup_system.py", "--cache", str(tmp_path)])
    assert setup_system.main() == 0
    told = capsys.readouterr()
    assert told.out.count("NOT AVAILABLE") == 4
    assert "there is no network" in told.err and "SKIPPED" in told.err


def test_a_program_on_path_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        setup_system.shutil,
        "which",
        lambda name: f"/usr/bin/{name}" if name == "promtool" else None,
    )
    assert setup_system.locate("promtool", tmp_path) == Path("/usr/bin/promtool")
    assert "promtool" not in setup_system.missing_programs(tmp_path)
