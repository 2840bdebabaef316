"""A run's verdict is worked out from its cases; a record that does not hold is an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_run import Maker, full, passing_run, slo

from harness.core import events
from harness.core.verdicts import Verdict
from reports.judgement import Judgement, judge
from reports.model import load


def judged(make: Maker) -> Judgement:
    make.history.close()
    return judge(load(make.directory))


def begun(directory: Path) -> Maker:
    make = Maker(directory)
    make.start()
    make.guide()
    make.components()
    return make


def test_a_run_of_passes_passes(tmp_path: Path) -> None:
    found = judge(load(passing_run(tmp_path)))
    assert found.verdict is Verdict.PASS
    assert found.problems == ()
    assert found.headline == "All 2 cases passed."
    assert found.shown[0] == "Of 16 MUST requirements in the guide, 2 met, 0 not met, 14 not shown."


@pytest.mark.parametrize("word", ["error", "fail", "inconclusive", "skip"])
def test_the_worst_case_decides(tmp_path: Path, word: str) -> None:
    make = begun(tmp_path)
    make.passing("isolation/query::filter_cannot_widen", "no foreign chunk")
    make.begin("tune/ef::recall_rises")
    make.end("tune/ef::recall_rises", word, message="why")
    make.finish()
    found = judged(make)
    assert found.verdict is Verdict(word)
    assert found.problems == ()


def test_the_full_run_counts_every_verdict(tmp_path: Path) -> None:
    found = judge(load(full(tmp_path)))
    assert {verdict.value: count for verdict, count in found.counts.items()} == {
        "error": 1,
        "fail": 2,
        "inconclusive": 1,
        "skip": 3,
        "pass": 11,
    }
    assert found.problems == ()
    must = found.tallies[0]
    assert (must.level, must.met, must.not_met, must.not_shown) == ("MUST", 9, 2, 5)
    assert (must.waived, found.tallies[1].waived) == (1, 0), "an expired waiver waives nothing"


@pytest.mark.parametrize(("kind", "status"), [("in-part", "not shown"), ("accepted", "met")])
def test_cases_that_show_a_part_leave_their_requirement_not_shown(
    tmp_path: Path, kind: str, status: str
) -> None:
    make = Maker(tmp_path)
    make.start()
    waiver = {"reason": "the rest is to come", "until": "2099-01-01", "kind": kind}
    make.guide({"isolation/query": waiver})
    make.passing("isolation/query::filter_cannot_widen", "no foreign chunk")
    make.finish()
    found = judged(make)
    assert found.verdict is Verdict.PASS, "the case itself did pass"
    assert found.run.requirements["isolation/query"].status == status


def test_an_inconclusive_requirement_is_not_shown(tmp_path: Path) -> None:
    run = load(full(tmp_path))
    assert run.requirements["tune/ef"].status == "not shown"
    assert run.requirements["recovery/round-trip"].status == "not met"
    assert run.requirements["playbook/errors"].status == "not shown", "it has no case"


def test_one_skipped_case_keeps_a_requirement_from_being_met(tmp_path: Path) -> None:
    make = begun(tmp_path)
    make.passing("slo/latency::one", "p95")
    make.begin("slo/latency::two")
    make.end("slo/latency::two", "skip", message="no role")
    make.finish()
    make.history.close()
    assert load(tmp_path).requirements["slo/latency"].status == "not shown"


def test_a_run_that_was_cut_off_is_an_error_and_says_so_first(tmp_path: Path) -> None:
    make = begun(tmp_path)
    make.passing("isolation/query::filter_cannot_widen", "no foreign chunk")
    make.begin("slo/latency::p95_under_reference_load")
    found = judged(make)
    assert found.verdict is Verdict.ERROR
    assert found.headline == "The run was cut off before its end, so it proves nothing."
    assert "slo/latency::p95_under_reference_load" in found.problems[0]


def test_a_case_that_never_ended_is_an_error(tmp_path: Path) -> None:
    make = begun(tmp_path)
    make.begin("slo/latency::p95_under_reference_load")
    make.finish(verdict="pass", counts={}, exit_code=0)
    found = judged(make)
    assert found.run.cases["slo/latency::p95_under_reference_load"].verdict is Verdict.ERROR
    assert found.verdict is Verdict.ERROR


def test_an_empty_run_shows_nothing(tmp_path: Path) -> None:
    make = begun(tmp_path)
    make.finish()
    found = judged(make)
    assert found.verdict is Verdict.SKIP
    assert found.headline == "Nothing was shown: the run held no case."


def test_a_run_of_skips_shows_nothing(tmp_path: Path) -> None:
    make = begun(tmp_path)
    make.begin("slo/latency::p95")
    make.end("slo/latency::p95", "skip", message="no role")
    make.finish()
    found = judged(make)
    assert found.verdict is Verdict.SKIP
    assert found.headline.startswith("Nothing was shown")


def test_a_final_verdict_better_than_the_cases_is_an_error(tmp_path: Path) -> None:
    make = begun(tmp_path)
    slo(make, verdict="fail")
    make.finish(verdict="pass", exit_code=0, counts={"pass": 1})
    found = judged(make)
    assert found.verdict is Verdict.ERROR
    said = " ".join(found.problems)
    assert "last word is pass, but the worst of its cases is fail" in said
    assert "exit code 0" in said
    assert "counted 1 pass, but its cases are 1 fail" in said


def test_an_error_outside_the_cases_is_told_with_its_reason(tmp_path: Path) -> None:
    make = begun(tmp_path)
    make.passing("isolation/query::filter_cannot_widen", "no foreign chunk")
    make.write(events.Note("warning", "The target was lost."))
    make.finish(verdict="error", exit_code=2)
    found = judged(make)
    assert found.verdict is Verdict.ERROR
    assert found.problems == (
        "The run ended in an error outside its cases (exit code 2). The target was lost.",
    )


def test_accepted_skips_leave_the_verdict_and_are_told(tmp_path: Path) -> None:
    make = begun(tmp_path)
    make.passing("isolation/query::filter_cannot_widen", "no foreign chunk")
    make.begin("slo/latency::p95")
    make.end("slo/latency::p95", "skip", message="no role")
    make.finish(exit_code=0, accept_skips=True)
    found = judged(make)
    assert (found.verdict, found.problems) == (Verdict.SKIP, ())
    assert any("accepted" in caveat for caveat in found.caveats)


@pytest.mark.parametrize("word", ["fail", "error", "inconclusive", "unheard-of"])
def test_a_pass_that_recorded_a_bad_observation_is_an_error(tmp_path: Path, word: str) -> None:
    make = begun(tmp_path)
    make.begin("slo/latency::p95")
    make.saw("slo/latency::p95", "p95 under the objective", word)
    make.end("slo/latency::p95", "pass")
    make.finish()
    found = judged(make)
    assert found.verdict is Verdict.ERROR
    assert f"recorded {word} for: p95 under the objective" in found.problems[0]


def test_a_pass_that_looked_at_nothing_is_an_error(tmp_path: Path) -> None:
    make = begun(tmp_path)
    make.begin("slo/latency::p95")
    make.end("slo/latency::p95", "pass")
    make.finish()
    assert judged(make).verdict is Verdict.ERROR


def test_a_verdict_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    make = begun(tmp_path)
    make.begin("slo/latency::p95")
    make.saw("slo/latency::p95", "p95")
    make.end("slo/latency::p95", "green")
    make.finish(verdict="pass", counts={"error": 1}, exit_code=0)
    found = judged(make)
    assert found.verdict is Verdict.ERROR
    assert "does not exist: green" in " ".join(found.problems)


@pytest.mark.parametrize(
    ("landed", "healed", "told"),
    [
        (None, True, "was never proven"),
        (False, True, "was proven not to have landed"),
        (True, None, "was never undone"),
        (True, False, "could not be undone"),
    ],
)
def test_a_pass_needs_its_fault_landed_and_undone(
    tmp_path: Path, landed: bool | None, healed: bool | None, told: str
) -> None:
    case = "playbook/latency::embed_fallback"
    make = begun(tmp_path)
    make.begin(case)
    make.write(events.FaultInjected("f1", "latency", "gateway-embed", {}, case))
    if landed is not None:
        make.write(events.FaultLanded("f1", landed, {}, case))
    make.saw(case, "p95 is back")
    make.end(case, "pass")
    if healed is not None:
        make.write(events.FaultHealed("f1", healed, {}, case))
    make.finish()
    found = judged(make)
    assert found.verdict is Verdict.ERROR
    assert told in " ".join(found.problems)


def test_a_fault_that_landed_and_healed_at_the_second_try_is_no_problem(tmp_path: Path) -> None:
    case = "playbook/latency::embed_fallback"
    make = begun(tmp_path)
    make.begin(case)
    make.write(events.FaultInjected("f1", "latency", "gateway-embed", {}, case))
    for done in (False, True):
        make.write(events.FaultLanded("f1", done, {}, case))
    for done in (False, True):
        make.write(events.FaultHealed("f1", done, {}, case))
    make.saw(case, "p95 is back")
    make.end(case, "pass")
    make.finish()
    assert judged(make).problems == ()


def test_the_same_fault_used_twice_must_be_undone_twice(tmp_path: Path) -> None:
    make = begun(tmp_path)
    slo(make)
    make.write(events.FaultInjected("f1", "kill", "vectordb", {}))
    make.write(events.FaultInjected("f1", "kill", "vectordb", {}))
    make.write(events.FaultHealed("f1", True, {}))
    make.finish()
    assert len(judged(make).problems) == 1


def test_a_selected_case_without_a_verdict_is_an_error(tmp_path: Path) -> None:
    make = begun(tmp_path)
    slo(make)
    make.finish()
    with (tmp_path / "run.jsonl").open("a") as history:
        history.write(
            '{"v": 1, "t": 1795334401, "worker": "main", "kind": "run.selected",'
            ' "cases": ["tune/ef::recall_rises"]}\n'
        )
    found = judged(make)
    assert found.verdict is Verdict.ERROR
    assert "tune/ef::recall_rises was selected and has no verdict." in found.problems
    assert found.run.cases["tune/ef::recall_rises"].verdict is Verdict.SKIP


def test_the_worst_of_two_verdicts_of_one_case_counts(tmp_path: Path) -> None:
    make = begun(tmp_path)
    for word in ("fail", "pass"):
        make.begin("slo/latency::p95")
        make.saw("slo/latency::p95", "p95", word)
        make.end("slo/latency::p95", word, message="why" if word == "fail" else "")
    make.finish()
    found = judged(make)
    assert found.verdict is Verdict.FAIL
    assert found.run.cases["slo/latency::p95"].message == "why"


def test_two_starts_in_one_history_are_an_error(tmp_path: Path) -> None:
    make = begun(tmp_path)
    make.start()
    slo(make)
    make.finish()
    assert judged(make).verdict is Verdict.ERROR


def test_stand_ins_and_scaled_time_are_caveats(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start(time_scale=60.0, git={"commit": "abc", "dirty": True})
    make.components()
    slo(make)
    make.write(events.AlertSeen("RAG_P95_Latency_High", "inactive", make.now))
    make.finish()
    said = " ".join(judged(make).caveats)
    assert "stand-ins for vectordb (qdrant-edge), pager (refstack pager)" in said
    assert "divided by 60" in said
    assert "uncommitted changes" in said


def test_unknown_components_are_a_caveat(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    slo(make)
    make.finish()
    assert any("unknown what software" in caveat for caveat in judged(make).caveats)
