"""`ragdrill up` says what it can't boot, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main

ATTACHED = '[target]\nname = "staging"\ndriver = "attach"\n[roles.gateway]\nurl = "http://x"\n'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stack of this user's is up here, and no image is chosen for later tests."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("RAGDRILL_IMAGES", "local")


def test_a_target_that_is_up_already_is_not_booted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "staging.toml"
    target.write_text(ATTACHED)
    assert main(["up", "--target", str(target)]) == 4
    told = capsys.readouterr().err
    assert "up already" in told and "ragdrill doctor" in told


def test_a_compose_project_needs_its_target_file(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("testcontainers", reason="the extra `containers` is not installed")
    assert main(["up", "--driver", "compose"]) == 4
    assert "no Compose project" in capsys.readouterr().err


def test_a_target_file_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--target", "nowhere.toml"]) == 4
    assert "nowhere.toml" in capsys.readouterr().err
