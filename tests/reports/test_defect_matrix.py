"""The matrix of defects: what was missed comes first, and nothing run is no pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict
from reports import defects


def record(directory: Path, name: str, **change: object) -> None:
    place = directory / "defects"
    place.mkdir(exist_ok=True)
    raw = {
        "defect": name,
        "sentence": "Something <b>is</b> broken.",
        "module": ["refstack.gateway.tokens", "refstack.gateway.routes"],
        "catches": "isolation/query::x",
        "verdict": "fail",
        "message": "seen",
        "problem": "",
    }
    (place / f"{name}.json").write_text(json.dumps(raw | change))


def test_no_defect_at_all_is_no_pass(tmp_path: Path) -> None:
    assert defects.load(tmp_path).verdict is Verdict.SKIP


def test_one_that_slipped_through_fails_the_matrix_and_stands_first(tmp_path: Path) -> None:
    record(tmp_path, "caught")
    record(tmp_path, "slipped", problem="says pass, and fail was claimed")
    matrix = defects.load(tmp_path)
    assert matrix.verdict is Verdict.FAIL
    assert [row.defect for row in matrix.rows] == ["slipped", "caught"]
    assert "1 of 2" in matrix.headline


def test_the_page_escapes_what_it_shows(tmp_path: Path) -> None:
    record(tmp_path, "caught", message="<script>alert(1)</script>")
    page = defects.render(tmp_path).read_text()
    assert defects.load(tmp_path).verdict is Verdict.PASS
    assert "<script>" not in page
    assert "refstack.gateway.tokens, refstack.gateway.routes" in page


def test_a_damaged_record_is_an_error(tmp_path: Path) -> None:
    record(tmp_path, "caught")
    (tmp_path / "defects" / "caught.json").write_text("{")
    with pytest.raises(HarnessError, match="can't be read"):
        defects.load(tmp_path)
