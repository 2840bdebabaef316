"""The bootstrap makes one complete environment, knows a broken one, and says what is missing.

The installer is a stand-in that records how it was called, so nothing is downloaded here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repo.checkout import ROOT

UV = """#!/bin/sh
echo "$@" >>"$UV_CALLS"
case "$1" in
venv)
    for last; do :; done
    mkdir -p "$last/bin" && ln -sf "$REAL_PYTHON" "$last/bin/python" ;;
pip)
    touch .venv/half-installed
    if [ -n "$UV_HANGS" ]; then touch "$UV_HANGS"; sleep 30; fi
    echo "no route to the index" >&2
    exit "${UV_FAILS:-0}" ;;
esac
"""
NO_VENV = """#!/bin/sh
case "$*" in
*"import venv"* | "-m pip"*) exit 1 ;;
esac
exec "$REAL_PYTHON" "$@"
"""
OLD = """#!/bin/sh
case "$*" in
*"%d.%d.%d"*) echo 3.9.2 ;;
*) exit 1 ;;
esac
"""


@dataclass
class Place:
    """A checkout with nothing but what the bootstrap needs, in a path with a space."""

    root: Path
    tools: Path
    calls: Path

    def run(self, *extras: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "scripts/bootstrap.sh"), *extras],
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def environment(self, **more: str) -> dict[str, str]:
        base = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        return base | {
            "PATH": f"{self.tools}:/usr/bin:/bin",
            "UV_CALLS": str(self.calls),
            "REAL_PYTHON": sys.executable,
            **more,
        }

    def installs(self) -> list[str]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line.split()[-1] for line in lines if line.startswith("pip install")]

    def tool(self, name: str, text: str) -> Path:
        path = self.tools / name
        path.write_text(text)
        path.chmod(0o755)
        return path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root, tools = tmp_path / "check out", tmp_path / "tools"
    (root / "scripts").mkdir(parents=True)
    tools.mkdir()
    shutil.copy(ROOT / "scripts/bootstrap.sh", root / "scripts")
    shutil.copy(ROOT / "pyproject.toml", root)
    made = Place(root, tools, tmp_path / "calls")
    made.tool("uv", UV)
    return made


def test_the_first_run_installs_and_the_second_does_nothing(place: Place) -> None:
    first = place.run()
    assert first.returncode == 0, first.stderr
    assert place.installs() == ["."]
    assert not (place.root / ".venv/ragdrill-installing").exists()
    place.tool("uv", "#!/bin/sh\necho called >&2; exit 1\n")
    second = place.run()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")


def test_a_wanted_extra_is_added_and_kept(place: Place) -> None:
    place.run()
    assert place.run("dev").returncode == 0
    assert place.run().returncode == 0
    assert place.run("containers").returncode == 0
    assert place.installs() == [".", ".[dev]", ".[containers,dev]"]


def test_with_a_gpu_one_build_of_onnxruntime_gives_way_to_the_other(place: Place) -> None:
    assert place.run("gpu").returncode == 0
    calls = [line for line in place.calls.read_text().splitlines() if line.startswith("pip ")]
    assert [line.split()[1] for line in calls] == ["install", "uninstall", "install"]
    assert calls[1].split()[-1] == "onnxruntime"
    assert "--force-reinstall --no-deps onnxruntime-gpu>=" in calls[2]
    # It is wanted from now on, and not done again.
    assert place.run().returncode == 0
    assert len(place.calls.read_text().splitlines()) == len(calls) + 1


def test_changed_requirements_are_installed_and_changed_tool_settings_are_not(place: Place) -> None:
    place.run()
    project = place.root / "pyproject.toml"
    project.write_text(project.read_text().replace("line-length = 100", "line-length = 101"))
    place.run()
    assert place.installs() == ["."]
    project.write_text(project.read_text().replace('"rich>=15.0,<16"', '"rich>=16,<17"'))
    place.run()
    assert place.installs() == [".", "."]


def test_an_interrupted_install_is_not_taken_for_a_whole_one(place: Place, tmp_path: Path) -> None:
    hanging = tmp_path / "hanging"
    process = subprocess.Popen(
        [str(place.root / "scripts/bootstrap.sh")],
        env=place.environment(UV_HANGS=str(hanging)),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 20
    while not hanging.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    assert (place.root / ".venv/half-installed").exists()
    (place.root / ".venv/half-installed").write_text("left behind")
    again = place.run()
    assert again.returncode == 0
    assert "interrupted" in again.stderr
    assert (place.root / ".venv/half-installed").read_text() == ""


def test_a_failed_first_install_says_what_to_do_offline_and_is_tried_again(place: Place) -> None:
    failed = place.run(UV_FAILS="3")
    assert failed.returncode == 1
    assert "no route to the index" in failed.stderr
    assert "exit code 3" in failed.stderr
    assert "PIP_INDEX_URL" in failed.stderr
    assert not (place.root / ".venv/ragdrill-stamp").exists()
    assert place.run().returncode == 0


def test_a_failed_update_leaves_what_was_complete(place: Place) -> None:
    place.run()
    assert place.run("dev", UV_FAILS="1").returncode == 1
    (place.root / ".venv/precious").touch()
    without_network = place.run(UV_FAILS="1")
    assert without_network.returncode == 0, without_network.stderr
    assert (place.root / ".venv/precious").exists()


def test_an_environment_that_somebody_else_made_is_used_and_never_removed(place: Place) -> None:
    (place.root / ".venv/bin").mkdir(parents=True)
    (place.root / ".venv/bin/python").symlink_to(sys.executable)
    (place.root / ".venv/theirs").touch()
    assert place.run(UV_FAILS="1").returncode == 1
    assert place.run().returncode == 0
    assert (place.root / ".venv/theirs").exists()
    place.run("dev", UV_FAILS="1")
    assert place.run("dev").returncode == 0
    (place.root / ".venv/ragdrill-installing").write_text("theirs\n")
    refused = place.run()
    assert refused.returncode == 1
    assert "Remove .venv" in refused.stderr
    assert (place.root / ".venv/theirs").exists()


def test_a_checkout_that_moved_gets_a_new_environment(place: Place, tmp_path: Path) -> None:
    place.run()
    place.root = place.root.rename(tmp_path / "else where")
    moved = place.run()
    assert moved.returncode == 0
    assert "belongs to another place" in moved.stderr
    assert f"checkout={place.root}" in (place.root / ".venv/ragdrill-stamp").read_text()


def test_an_environment_whose_python_is_gone_is_made_anew(place: Place) -> None:
    place.run()
    (place.root / ".venv/bin/python").unlink()
    assert place.run().returncode == 0
    assert (place.root / ".venv/bin/python").exists()


def test_a_python_that_is_too_old_is_named_with_its_version(place: Place) -> None:
    old = place.tool("old-python", OLD)
    result = place.run(PYTHON=str(old), RAGDRILL_UV="0")
    assert result.returncode == 1
    assert "3.9.2" in result.stderr
    assert "3.11 or newer" in result.stderr
    assert not (place.root / ".venv").exists()


def test_with_no_python_at_all_it_says_which_package_to_install(place: Place) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        place.tool(name, OLD)
    result = place.run(RAGDRILL_UV="0")
    assert result.returncode == 1
    assert "apt install python3" in result.stderr
    assert "3.9.2" in result.stderr


def test_a_python_without_venv_module_gets_the_package_that_brings_it(place: Place) -> None:
    bare = place.tool("bare-python", NO_VENV)
    result = place.run(PYTHON=str(bare), RAGDRILL_UV="0")
    assert result.returncode == 1
    assert "python3-venv" in result.stderr
    assert not (place.root / ".venv").exists()


def test_an_unknown_extra_is_refused_with_the_known_ones(place: Place) -> None:
    result = place.run("devel")
    assert result.returncode == 2
    assert "dev containers eval" in result.stderr
    assert not place.calls.exists()


def test_venv_and_pip_serve_where_there_is_no_uv(place: Place) -> None:
    result = place.run(PYTHON=sys.executable, RAGDRILL_UV="0", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert result.returncode == 1
    assert "Offline?" in result.stderr
    assert (place.root / ".venv/bin/python").exists()


def test_a_moved_environment_that_somebody_else_made_is_not_removed(
    place: Place, tmp_path: Path
) -> None:
    (place.root / ".venv/bin").mkdir(parents=True)
    (place.root / ".venv/bin/python").symlink_to(sys.executable)
    place.run()
    place.root = place.root.rename(tmp_path / "else where")
    moved = place.run()
    assert moved.returncode == 1
    assert "Remove it" in moved.stderr
    assert (place.root / ".venv").exists()
