"""Whole runs of the plugin over small cases against a driver that boots nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.history import read_history
from harness.core.run import CHECKOUT

PLUGINS = (
    "harness.plugin.options",
    "harness.plugin.collection",
    "harness.plugin.running",
    "harness.plugin.words",
    "harness.plugin.session",
    "fixtures.evidence",
    "fixtures.stack",
    "nothing_driver",
)

DRIVER = """
    '''A driver with nothing behind it.'''
    import json
    from harness.core.errors import TargetError
    from harness.drivers import registry
    from harness.drivers.base import Component, Endpoint

    registry._DRIVERS["nothing"] = "nothing_driver:Nothing"

    class Nothing:
        def __init__(self, scratch):
            self.run_id, self.name, self.scratch = "run", "nothing", scratch
            self.allow = frozenset({"read", "write", "fault"})
        @classmethod
        def for_run(cls, run, target, progress):
            if target.target.name == "broken":
                raise TargetError("The target is broken.", next_step="mend it")
            run.state_file.write_text(str(run.scratch))
            with (run.directory / "boots.txt").open("a") as file:
                file.write("booted\\n")
            return cls(run.scratch)
        @classmethod
        def attach(cls, state_file):
            return cls(state_file.parent)
        def up(self): pass
        def down(self): pass
        def roles(self): return ("gateway",)
        def endpoint(self, role): return Endpoint(role, "http://127.0.0.1:1", "127.0.0.1", 1)
        def ready(self, role, timeout_s=30.0): pass
        def logs(self, role, tail=None): return ""
        def components(self): return (Component("gateway", "nothing", "0", True, "for tests"),)
        def credentials(self, role): return {"key": "hunter2-hunter2"}
        def links(self): return ()
"""

HEAD = """
    import time
    import pytest
    from harness import conformance, needs
    from harness.core.evidence import Inconclusive
"""


class Result:
    """What a run left: exit code, output, its directory and verdicts by case name."""

    def __init__(self, done: subprocess.CompletedProcess[str], directory: Path) -> None:
        self.code, self.output, self.directory = (
            done.returncode,
            done.stdout + done.stderr,
            directory,
        )
        self.records = list(read_history(directory)) if (directory / "run.jsonl").exists() else []

    def verdicts(self) -> dict[str, str]:
        return {
            r.fields["case"].split("::")[1]: r.fields["verdict"]
            for r in self.records
            if r.kind == "case.verdict"
        }

    def last(self, kind: str) -> dict[str, Any]:
        return [r.fields for r in self.records if r.kind == kind][-1]


RunCases = Callable[..., Result]


def command(directory: Path, *arguments: str) -> list[str]:
    plugins = [word for plugin in PLUGINS for word in ("-p", plugin)]
    return [
        *(sys.executable, "-m", "pytest", "-p", "no:locust", "-p", "no:cacheprovider"),
        *plugins,
        *("-c", "/dev/null", "--rootdir", str(directory), "--driver=nothing"),
        f"--run-dir={directory / 'run'}",
        *arguments,
    ]


def environment(directory: Path) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{directory}",
        "TMPDIR": str(directory),
    }


@pytest.fixture
def run_cases(tmp_path: Path) -> Iterator[RunCases]:
    (tmp_path / "nothing_driver.py").write_text(textwrap.dedent(DRIVER))

    def run(cases: str, *arguments: str, profile: str = "ci") -> Result:
        path = tmp_path / "test_cases.py"
        path.write_text(textwrap.dedent(HEAD) + textwrap.dedent(cases))
        done = subprocess.run(
            command(tmp_path, f"--profile={profile}", str(path), *arguments),
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env=environment(tmp_path),
        )
        return Result(done, tmp_path / "run")

    yield run


EVERY_ENDING = """
    @conformance("slo/latency", since="0.1")
    def test_shows_it(evidence, stack):
        "It MUST hold."
        evidence.require("one is one", 1 == 1, expected=1, actual=1)

    @conformance("slo/latency", since="0.1")
    def test_shows_nothing(stack):
        "It MUST hold."

    @conformance("slo/latency", since="0.1")
    def test_target_misbehaves(evidence):
        "It MUST hold."
        evidence.require("two is one", False, expected=1, actual=2)

    @conformance("slo/latency", since="0.1")
    def test_plain_assertion(evidence):
        "It MUST hold."
        assert 1 == 2

    @conformance("slo/latency", since="0.1")
    def test_cannot_tell(evidence):
        "It MUST hold."
        raise Inconclusive("too few samples", expected=100, actual=3)

    @conformance("slo/latency", since="0.1")
    def test_harness_breaks(evidence):
        "It MUST hold."
        evidence.require("one is one", True)
        {}["missing"]

    @pytest.fixture
    def broken():
        assert False, "an assertion in a fixture says nothing about the target"

    @conformance("slo/latency", since="0.1")
    def test_fixture_breaks(broken, evidence):
        "It MUST hold."

    @conformance("slo/latency", since="0.1")
    @needs("destroy")
    def test_not_allowed(evidence):
        "It MUST hold."
        raise RuntimeError("never runs")

    @pytest.fixture(scope="session")
    def client_of_an_absent_role(stack):
        return {}["gpu"]

    @conformance("slo/latency", since="0.1")
    @needs("read", roles=["gpu"])
    def test_role_is_absent(client_of_an_absent_role, evidence):
        "It MUST hold."
        raise RuntimeError("never runs")
"""


def test_every_way_to_end_has_its_verdict(run_cases: RunCases) -> None:
    result = run_cases(EVERY_ENDING)
    assert result.verdicts() == {
        "shows_it": "pass",
        "shows_nothing": "error",
        "target_misbehaves": "fail",
        "plain_assertion": "fail",
        "cannot_tell": "inconclusive",
        "harness_breaks": "error",
        "fixture_breaks": "error",
        "not_allowed": "skip",
        "role_is_absent": "skip",
    }
    assert result.code == 2
    assert result.last("run.verdict")["verdict"] == "error"


def test_a_failure_reads_as_requirement_expectation_and_rerun(run_cases: RunCases) -> None:
    result = run_cases(EVERY_ENDING, "--seed=7", "-k", "misbehaves")
    assert result.code == 1
    for text in (
        "It MUST hold.",
        "two is one",
        "expected",
        "actual",
        "test_cases.py:",
        "ragdrill verify --case slo/latency::target_misbehaves --seed 7",
    ):
        assert text in result.output, text


@pytest.mark.parametrize(
    ("keep", "arguments", "code"),
    [
        ("shows_it", [], 0),
        ("shows_it or not_allowed", [], 1),
        ("shows_it or not_allowed", ["--accept-skips"], 0),
        ("not_allowed", ["--accept-skips"], 5),
        ("cannot_tell", [], 1),
        ("shows_nothing", [], 2),
    ],
)
def test_the_exit_code_says_what_was_shown(
    run_cases: RunCases, keep: str, arguments: list[str], code: int
) -> None:
    assert run_cases(EVERY_ENDING, "-k", keep, *arguments).code == code


def test_workers_share_one_boot_and_one_history(run_cases: RunCases) -> None:
    result = run_cases(EVERY_ENDING, "-n", "2")
    assert (result.directory / "boots.txt").read_text() == "booted\n"
    assert len(result.verdicts()) == 9
    assert {r.worker for r in result.records} == {"main", "gw0", "gw1"}
    assert result.code == 2


def test_a_worker_that_dies_leaves_an_error_not_a_gap(run_cases: RunCases) -> None:
    result = run_cases(
        """
        import os
        @conformance("slo/latency", since="0.1")
        def test_dies(evidence):
            "It MUST hold."
            evidence.require("still fine", True)
            os._exit(3)

        @conformance("slo/latency", since="0.1")
        def test_shows_it(evidence):
            "It MUST hold."
            evidence.require("one is one", True)
        """,
        "-n",
        "1",
    )
    assert result.verdicts()["dies"] == "error"
    assert result.code == 2


def test_a_case_that_never_ran_is_not_green(run_cases: RunCases) -> None:
    result = run_cases(EVERY_ENDING, "-x", "-k", "target_misbehaves or plain_assertion")
    assert result.verdicts() == {"target_misbehaves": "fail", "plain_assertion": "skip"}


def test_an_interrupted_run_is_an_error(run_cases: RunCases, tmp_path: Path) -> None:
    (tmp_path / "test_slow.py").write_text(
        textwrap.dedent(HEAD)
        + textwrap.dedent(
            """
            @conformance("slo/latency", since="0.1")
            def test_waits(evidence):
                "It MUST hold."
                evidence.require("begun", True)
                time.sleep(30)
            """
        )
    )
    process = subprocess.Popen(
        command(tmp_path, "--profile=ci", str(tmp_path / "test_slow.py")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path),
    )
    history = tmp_path / "run" / "run.jsonl"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (
        history.exists() and "case.observation" in history.read_text()
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    records = [json.loads(line) for line in history.read_text().splitlines()]
    assert process.returncode == 2, output
    verdicts = [r["verdict"] for r in records if r["kind"] == "case.verdict"]
    assert verdicts == ["error"]
    assert records[-1]["kind"] == "run.verdict"
    assert records[-1]["verdict"] == "error"
    assert not list((tmp_path / f"ragdrill-{os.getuid()}").glob("*/stack.json"))


ONE = '@conformance("slo/latency", since="0.1")\ndef test_a(evidence): "M."'


@pytest.mark.parametrize(
    ("case", "arguments", "told", "code"),
    [
        (ONE.replace("latency", "latencies"), [], "slo/latency", 4),
        (ONE.replace('"M."', "pass"), [], "docstring", 4),
        # A module that can't even be imported is pytest's own kind of collection error.
        (ONE.replace("slo/latency", "SLO"), [], "area/requirement", 2),
        ('@needs("frobnicate")\n' + ONE, [], "destroy", 2),
        (ONE, ["--case=slo/latencie"], "slo/latency", 4),
        (ONE, ["--case=slo/latencie", "-n", "1"], "slo/latency", 4),
        (ONE, ["--driver=podman"], "embedded", 4),
        (ONE, ["--target=absent.toml"], "absent.toml", 4),
        (ONE, ["--time-scale=0.5"], "1 or more", 4),
    ],
)
def test_bad_input_is_refused_with_a_hint(
    run_cases: RunCases, case: str, arguments: list[str], told: str, code: int
) -> None:
    result = run_cases(textwrap.indent(case, "    "), *arguments)
    assert told in result.output
    assert "Traceback" not in result.output
    assert result.code == code


def test_two_cases_of_one_name_are_refused(run_cases: RunCases) -> None:
    result = run_cases(
        """
        class TestOne:
            @conformance("slo/latency", since="0.1")
            def test_a(self, evidence):
                "M."
        class TestTwo:
            @conformance("slo/latency", since="0.1")
            def test_a(self, evidence):
                "M."
        """
    )
    assert "used twice" in result.output
    assert result.code == 4


def test_a_target_that_does_not_come_up_is_one_message(run_cases: RunCases, tmp_path: Path) -> None:
    target = tmp_path / "target.toml"
    target.write_text('[target]\nname = "broken"\n')
    result = run_cases(EVERY_ENDING, f"--target={target}")
    assert "The target is broken." in result.output
    assert "mend it" in result.output
    assert "Traceback" not in result.output
    assert result.code == 2
    assert not list((tmp_path / f"ragdrill-{os.getuid()}").glob("*"))


def test_secrets_of_the_target_never_reach_the_history(run_cases: RunCases) -> None:
    result = run_cases(
        """
        @conformance("slo/latency", since="0.1")
        def test_talks(evidence, stack):
            "M."
            evidence.require("the key is " + stack.credentials("gateway")["key"], True)
        """
    )
    text = (result.directory / "run.jsonl").read_text()
    assert "hunter2-hunter2" not in text
    assert "[redacted]" in text
    assert result.code == 0


def test_a_case_that_reads_files_alone_boots_nothing(run_cases: RunCases) -> None:
    done = run_cases(
        """
        @conformance("slo/latency", since="0.1")
        def test_reads_a_file(evidence):
            "M."
            evidence.require("a file", True)
        """
    )
    assert done.code == 0, done.output
    assert not (done.directory / "boots.txt").exists()
