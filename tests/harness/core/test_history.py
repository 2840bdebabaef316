"""The history keeps whole lines from many writers, hides secrets and survives a cut."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.core.events import KINDS, CaseVerdict, Note
from harness.core.history import History, read_history
from harness.core.redaction import Redactor


def test_what_is_written_is_read_back_in_order_of_time(tmp_path: Path) -> None:
    history = History(tmp_path, worker="gw1")
    history.write(Note("info", "second"), t=2.0)
    history.write(Note("info", "first"), t=1.0)
    records = list(read_history(tmp_path))
    assert [record.event for record in records] == [Note("info", "first"), Note("info", "second")]
    assert {record.worker for record in records} == {"gw1"}


def _write_many(directory: Path, worker: str) -> None:
    history = History(directory, worker=worker)
    for number in range(300):
        history.write(Note("info", f"{worker} {number} " + "x" * 5000))


def test_lines_of_parallel_writers_never_mix(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(tmp_path, f"w{n}")) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    texts = [record.fields["text"].split()[:2] for record in read_history(tmp_path)]
    assert sorted(map(tuple, texts)) == sorted(
        (f"w{n}", str(i)) for n in range(3) for i in range(300)
    )


def test_text_that_is_no_unicode_is_kept_readable(tmp_path: Path) -> None:
    History(tmp_path).write(Note("info", "a lone \ud800 surrogate"))
    assert "surrogate" in next(read_history(tmp_path)).fields["text"]


def test_a_last_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    History(tmp_path).write(Note("info", "whole"))
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write('{"v": 1, "t": 3, "worker": "main", "kind": "no')
    assert [record.fields["text"] for record in read_history(tmp_path)] == ["whole"]


def test_a_damaged_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    History(tmp_path).write(Note("info", "one"))
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write("{broken\n")
    History(tmp_path).write(Note("info", "two"))
    with pytest.raises(HarnessError, match="Line 2"):
        list(read_history(tmp_path))


def test_a_newer_schema_is_refused_and_an_unknown_kind_is_kept(tmp_path: Path) -> None:
    line = {"v": 1, "t": 1, "worker": "main", "kind": "from.tomorrow", "x": 1}
    (tmp_path / "run.jsonl").write_text(json.dumps(line) + "\n")
    assert next(read_history(tmp_path)).event is None
    (tmp_path / "run.jsonl").write_text(json.dumps(line | {"v": 2}) + "\n")
    with pytest.raises(HarnessError, match="newer version"):
        list(read_history(tmp_path))


def test_no_history_is_said_with_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="ragdrill report"):
        list(read_history(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "plain s3cret-value here",
        'in JSON "s3cret-\\"quoted"',
        "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "postgresql://rag:p4ssword@127.0.0.1:5432/rag",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    redactor = Redactor(["s3cret-value", 's3cret-"quoted'])
    hidden = redactor.redact(text)
    assert "[redacted]" in hidden
    for secret in ("s3cret", "eyJ", "p4ssword"):
        assert secret not in hidden


def test_short_values_and_ordinary_text_stay() -> None:
    assert Redactor(["a", "12345"]).redact("a 12345 http://host:80/x") == "a 12345 http://host:80/x"


def test_every_kind_has_a_name_of_its_own() -> None:
    assert KINDS[CaseVerdict.KIND] is CaseVerdict
    assert len({kind.KIND for kind in KINDS.values()}) == len(KINDS)
