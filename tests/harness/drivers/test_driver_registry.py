"""A machine without the libraries of the containers drivers runs every other one."""

from __future__ import annotations

import subprocess
import sys

from tests.repo import checkout

WITHOUT = "import sys; sys.modules['docker'] = sys.modules['testcontainers'] = None; "


def without_them(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code],
        cwd=checkout.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_watchdog_comes_up_without_them() -> None:
    ended = without_them("from chaos.faults import undo; undo.warm(); print('warm')")
    assert (ended.returncode, ended.stdout) == (0, "warm\n"), ended.stderr


def test_a_run_that_wants_such_a_driver_is_told_what_to_install() -> None:
    for name in ("compose", "containers"):
        ended = without_them(
            "from harness.core.errors import UsageError\n"
            "from harness.drivers import registry\n"
            "try:\n"
            f"    registry.driver({name!r})\n"
            "except UsageError as error:\n"
            "    print(error)\n"
        )
        assert ended.returncode == 0, ended.stderr
        assert name in ended.stdout and "bootstrap.sh containers" in ended.stdout
