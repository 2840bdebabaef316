"""``ragdrill load-and-eval`` keeps what it measured, and compares like with like."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from harness.cli import load_and_eval
from harness.cli.load_and_eval import CASES, kept_in, what_got_worse
from harness.cli.main import main
from harness.core.registry import case_id, declaration_of
from harness.core.verdicts import ExitCode
from reports.comparison import Change, Comparison


def keep(results: Path, name: str, **told: object) -> Path:
    directory = results / name
    directory.mkdir(parents=True)
    (directory / "result.json").write_text(json.dumps({"schema": 1, **told}))
    return directory


def test_results_are_read_in_the_order_of_their_dates(tmp_path: Path) -> None:
    for name in ("20261101T080000Z", "20261001T080000Z", "20261101T080000Z-2"):
        keep(tmp_path, name, target="reference")
    found = kept_in(tmp_path)
    assert [each.directory.name for each in found] == [
        *("20261001T080000Z", "20261101T080000Z", "20261101T080000Z-2")
    ]
    before = kept_in(tmp_path, before=found[1].directory)
    assert [each.directory.name for each in before] == ["20261001T080000Z"]


def test_what_is_no_whole_result_is_none(tmp_path: Path) -> None:
    keep(tmp_path, "20261001T080000Z").joinpath("result.json").write_text("{")
    keep(tmp_path, "20261002T080000Z").joinpath("result.json").write_text('{"schema": 99}')
    keep(tmp_path, "notes")
    (tmp_path / "20261003T080000Z").mkdir()
    assert kept_in(tmp_path) == []


def test_only_what_was_measured_alike_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path, "20261001T080000Z", target="a", corpus="built", load_seconds=None)
    keep(tmp_path, "20261002T080000Z", target="b", corpus="built", load_seconds=None)
    keep(tmp_path, "20261003T080000Z", target="a", corpus="sample", load_seconds=None)
    keep(tmp_path, "20261004T080000Z", target="a", corpus="built", load_seconds=None)
    compared: list[str] = []

    def compare(before: Path, _after: Path) -> None:
        compared.append(before.name)
        raise SystemExit(0)

    monkeypatch.setattr(load_and_eval.comparison, "compare", compare)
    with pytest.raises(SystemExit):
        main(["load-and-eval", f"--results={tmp_path}", "--compare"])
    assert compared == ["20261001T080000Z"]
    keep(tmp_path, "20261005T080000Z", target="c", corpus="built", load_seconds=None)
    assert main(["load-and-eval", f"--results={tmp_path}", "--compare"]) == ExitCode.PASS
    assert "none before it" in capsys.readouterr().out


def test_one_result_alone_can_not_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path, "20261001T080000Z")
    assert main(["load-and-eval", f"--results={tmp_path}", "--compare"]) == ExitCode.USAGE
    assert "not two results" in capsys.readouterr().err


def change(what: str, word: str, *, worse: bool = False) -> Change:
    return Change("slo/x::y", what, "1", "2", word, worse)


def test_what_got_worse_beyond_its_noise_is_named_and_nothing_else() -> None:
    measures = (
        change("p95", "+50 %; worse", worse=True),
        change("p99", "+40 %; beyond noise"),
        change("p50", "+3 %; within noise"),
        change("mean", "-30 %; beyond noise"),
        change("recall", "+3 %; better"),
    )
    verdicts = (change("quality/a::b", "worse", worse=True), change("slo/a::b", "better"))
    found = Comparison(None, None, (), (), verdicts, measures)  # type: ignore[arg-type]
    named = [line.split(" ")[1].rstrip(":") for line in what_got_worse(found)]
    assert named == ["quality/a::b", "p95", "p99"]


def test_the_command_runs_cases_that_are_there() -> None:
    modules = ("suites.slo.test_objectives", "suites.quality.test_retrieval")
    known = set()
    for module in map(importlib.import_module, modules):
        for name, function in vars(module).items():
            declared = declaration_of(function)
            if declared is not None:
                known.add(case_id(declared.slug, name))
    assert set(CASES) <= known
