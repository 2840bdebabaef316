"""Errors that carry what was expected, what came and what to do next."""

from __future__ import annotations


class HarnessError(Exception):
    """The harness, the set-up or the user's input stopped a run; says nothing about the target.

    ``what`` is one sentence. ``expected`` and ``actual`` are shown when given, ``next_step`` is
    the command or change that helps.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        actual: object = None,
        next_step: str | None = None,
    ) -> None:
        self.what = what
        self.expected = expected
        self.actual = actual
        self.next_step = next_step
        lines = [what]
        if expected is not None:
            lines.append(f"  expected: {expected}")
        if actual is not None:
            lines.append(f"  actual:   {actual}")
        if next_step is not None:
            lines.append(f"  next:     {next_step}")
        super().__init__("\n".join(lines))


class UsageError(HarnessError):
    """The command line, a target file or a case declaration is wrong (exit code 4)."""


class TargetError(HarnessError):
    """The target could not be booted, reached or controlled (exit code 2)."""


class NotAllowed(HarnessError):
    """The target does not permit what a case needs; the case is skipped for that reason."""
