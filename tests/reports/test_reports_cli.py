"""``python -m reports`` renders and compares, and refuses what it cannot do in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_run import full, passing_run

from reports.__main__ import main


def test_it_writes_three_files_and_prints_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(full(tmp_path))]) == 0
    assert {"index.html", "junit.xml", "summary.md"} <= {path.name for path in tmp_path.iterdir()}
    assert "ERROR" in capsys.readouterr().out


def test_it_writes_elsewhere_if_told(tmp_path: Path) -> None:
    run = passing_run(tmp_path / "run")
    assert main([str(run), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "index.html").exists()
    assert not (run / "index.html").exists()


def test_a_directory_without_a_history_is_refused_in_plain_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "There is no history to read" in said and "Traceback" not in said


def test_a_place_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = passing_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    assert main([str(run), "--out", str(tmp_path / "file")]) == 2
    assert "could not be written" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["diff", "a"], ["--nonsense"]])
def test_a_wrong_command_line_ends_with_four(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 4


def test_diff_tells_by_its_exit_code_whether_something_got_worse(tmp_path: Path) -> None:
    before = str(passing_run(tmp_path / "before"))
    after = str(passing_run(tmp_path / "after", median=0.095))
    page = tmp_path / "diff.md"
    assert main(["diff", before, after, "--markdown", str(page)]) == 1
    assert "worse" in page.read_text()
    assert main(["diff", after, before]) == 0


def test_diff_refuses_a_directory_without_a_history(tmp_path: Path) -> None:
    assert main(["diff", str(passing_run(tmp_path / "run")), str(tmp_path)]) == 2
