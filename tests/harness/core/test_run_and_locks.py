"""A run's directories are its own, its locks keep loud cases alone, its target file is strict."""

from __future__ import annotations

import multiprocessing
import threading
import time
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.locks import locked
from harness.core.run import Run, new_run
from harness.core.target import load_target
from harness.core.verdicts import Verdict, exit_code, worst


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return new_run(
        profile="ci",
        driver="embedded",
        target="t",
        seed=None,
        time_scale=60,
        directory=tmp_path / "kept",
    )


def test_a_run_survives_the_trip_to_a_worker(run: Run) -> None:
    assert Run.from_json(run.to_json()) == run
    assert run.scratch.stat().st_mode & 0o777 == 0o700


def test_a_directory_with_a_history_is_never_reused(run: Run, tmp_path: Path) -> None:
    (run.directory / "run.jsonl").write_text("")
    with pytest.raises(UsageError, match="already holds a run"):
        new_run(
            profile="ci",
            driver="embedded",
            target="t",
            seed=1,
            time_scale=60,
            directory=run.directory,
        )


def test_once_computes_once_and_a_failure_is_tried_again(run: Run) -> None:
    calls: list[int] = []

    def fails() -> int:
        calls.append(1)
        raise OSError("not yet")

    with pytest.raises(OSError, match="not yet"):
        run.once("value", fails)
    assert run.once("value", lambda: [1, 2]) == [1, 2]
    assert run.once("value", lambda: 99) == [1, 2]
    kept = run.scratch / "once" / "value.json"
    assert kept.stat().st_mode & 0o777 == 0o600


def _append(run: Run, path: Path) -> None:
    def make() -> str:
        with path.open("a") as file:
            file.write("made\n")
        time.sleep(0.1)
        return "x"

    run.once("shared", make)


def test_once_holds_between_processes(run: Run, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    path = tmp_path / "calls"
    workers = [context.Process(target=_append, args=(run, path)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert path.read_text() == "made\n"


def test_a_loud_case_runs_alone_and_is_not_starved(tmp_path: Path) -> None:
    lock, inside, overlaps = tmp_path / "lock", [0], []
    guard, over = threading.Lock(), threading.Event()

    def quiet() -> None:
        while not over.is_set():
            with locked(lock, exclusive=False):
                with guard:
                    inside[0] += 1
                time.sleep(0.01)
                with guard:
                    inside[0] -= 1

    threads = [threading.Thread(target=quiet, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        with locked(lock, exclusive=True):
            overlaps.append(inside[0])
    over.set()
    for thread in threads:
        thread.join(10)
    assert overlaps == [0] * 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[target]\nnmae = "x"', "did you mean name?"),
        ("[target]\nname = 3", "string"),
        ('[target]\nallow = ["read", "brake"]', "allow"),
        ('[roles.vectrodb]\nurl = "http://h"', "did you mean vectordb?"),
        ("[roles.vectordb]\nhostname = 1", "unknown key"),
        ("[target", "no valid TOML"),
    ],
)
def test_a_wrong_target_file_names_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "target.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_target(path)
    assert told in str(caught.value)


def test_a_secret_that_is_not_in_the_environment_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "target.toml"
    path.write_text('[roles.vectordb]\nurl = "http://h"\napi_key_env = "SOME_KEY"')
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(UsageError, match="export SOME_KEY"):
        load_target(path).secret("vectordb", "api_key")
    monkeypatch.setenv("SOME_KEY", "value")
    assert load_target(path).secret("vectordb", "api_key") == "value"


def test_the_worst_verdict_wins_and_nothing_is_no_pass() -> None:
    assert worst([]) is Verdict.SKIP
    assert worst([Verdict.PASS, Verdict.SKIP]) is Verdict.SKIP
    assert worst([Verdict.FAIL, Verdict.INCONCLUSIVE]) is Verdict.FAIL
    assert worst(list(Verdict)) is Verdict.ERROR


def test_only_passes_exit_with_zero() -> None:
    assert exit_code([Verdict.PASS]) == 0
    for verdict in (Verdict.SKIP, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.ERROR):
        assert exit_code([Verdict.PASS, verdict]) != 0
    assert exit_code([]) == exit_code([Verdict.SKIP]) == 5
