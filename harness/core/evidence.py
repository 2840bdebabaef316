"""How a case says what it saw: every expectation, number and sample goes into the history."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from harness.core.events import DashboardPreview, Measure, Observation, Samples
from harness.core.history import History
from harness.core.verdicts import Verdict


class NotConformant(AssertionError):
    """The target was seen to break the requirement (verdict fail)."""

    def __init__(self, what: str, *, expected: object = None, actual: object = None) -> None:
        super().__init__(what)
        self.what, self.expected, self.actual = what, expected, actual


class Inconclusive(Exception):
    """The evidence was not enough for a verdict (verdict inconclusive)."""

    def __init__(self, what: str, *, expected: object = None, actual: object = None) -> None:
        super().__init__(what)
        self.what, self.expected, self.actual = what, expected, actual


class Evidence:
    """What one case saw. A case that ends without one ``require`` or ``check`` showed nothing."""

    def __init__(self, case: str, history: History) -> None:
        self.case = case
        self.history = history
        self.shown = 0

    def require(
        self,
        what: str,
        ok: bool,
        *,
        expected: object = None,
        actual: object = None,
        **details: object,
    ) -> None:
        """Record an expectation about the target.

        Raises:
            NotConformant: ``ok`` is false.
        """
        verdict = Verdict.PASS if ok else Verdict.FAIL
        self._observe(what, verdict, expected, actual, details)
        if not ok:
            raise NotConformant(what, expected=expected, actual=actual)

    def check(self, result: Any) -> None:
        """Record a :class:`harness.checks.result.CheckResult` and act on its verdict.

        Raises:
            NotConformant: the check failed. Inconclusive: it could not tell. RuntimeError: the
                check itself broke.
        """
        told = result.as_json()
        details = dict(told["details"])
        if told["interval"] is not None:
            details["interval"] = told["interval"]
        self._observe(result.what, result.verdict, told["expected"], told["actual"], details)
        if result.verdict is Verdict.FAIL:
            raise NotConformant(result.what, expected=result.expected, actual=result.actual)
        if result.verdict in (Verdict.INCONCLUSIVE, Verdict.SKIP):
            raise Inconclusive(result.what, expected=result.expected, actual=result.actual)
        if result.verdict is Verdict.ERROR:
            raise RuntimeError(f"{result.what}: {result.actual}")

    def inconclusive(self, what: str, **details: object) -> NoReturn:
        """End the case as inconclusive, with the reason."""
        self._observe(what, Verdict.INCONCLUSIVE, None, None, details)
        raise Inconclusive(what)

    def measure(self, name: str, value: float, unit: str, **more: Any) -> None:
        """Record a number (see :class:`harness.core.events.Measure` for ``more``)."""
        self.history.write(Measure(case=self.case, name=name, value=value, unit=unit, **more))

    def samples(
        self,
        name: str,
        rows: Iterable[Mapping[str, Any]],
        *,
        limit: float | None = None,
        unit: str = "s",
        arm: str = "",
    ) -> None:
        """Keep raw samples beside the history (rows as :class:`harness.core.events.Samples`)."""
        stem = "".join(c if c.isalnum() else "-" for c in f"{self.case}-{name}-{arm}".strip("-"))
        file = f"samples/{stem}.jsonl"
        path = self.history.run_dir / file
        path.parent.mkdir(exist_ok=True)
        count = 0
        with path.open("w") as out:
            for row in rows:
                out.write(json.dumps(dict(row)) + "\n")
                count += 1
        self.history.write(
            Samples(case=self.case, name=name, unit=unit, file=file, n=count, limit=limit, arm=arm)
        )

    def dashboard(self, uid: str, title: str, panels: Iterable[Mapping[str, Any]]) -> None:
        """Keep what a dashboard showed (:class:`harness.core.events.DashboardPreview`)."""
        file = f"samples/dashboard-{uid}.jsonl"
        path = self.history.run_dir / file
        path.parent.mkdir(exist_ok=True)
        rows = [json.dumps(dict(panel)) for panel in panels]
        path.write_text("".join(f"{row}\n" for row in rows))
        self.history.write(
            DashboardPreview(case=self.case, uid=uid, title=title, file=file, panels=len(rows))
        )

    def _observe(
        self,
        what: str,
        verdict: Verdict,
        expected: object,
        actual: object,
        details: Mapping[str, object],
    ) -> None:
        self.shown += 1
        self.history.write(
            Observation(
                case=self.case,
                what=what,
                verdict=verdict.value,
                expected=expected,
                actual=actual,
                details=dict(details),
            )
        )
