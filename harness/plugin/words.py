"""pytest's progress words, so that the running output speaks in verdicts."""

from __future__ import annotations

import pytest

_WORDS = {
    "pass": ("passed", ".", ("PASS", {"green": True})),
    "skip": ("skipped", "s", ("SKIP (not shown)", {"yellow": True})),
    "inconclusive": ("failed", "?", ("INCONCLUSIVE", {"yellow": True, "bold": True})),
    "fail": ("failed", "F", ("FAIL", {"red": True})),
    "error": ("error", "E", ("ERROR", {"red": True, "bold": True})),
}


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Return the verdict's word for a report of a case; others stay pytest's own."""
    verdict = getattr(report, "ragdrill", None)
    return _WORDS[verdict] if verdict is not None else None
