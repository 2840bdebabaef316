"""How long documents are kept: a number of days for everybody, and other ones for some tenants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from harness.core.errors import TargetError, UsageError
from scripts.dayops.script import Refused

DAYS = 90
"""Operations guide, section 4."""
MOST_DAYS = 36_500
TIER = "hot"
CLOCK_S = 300.0
"""Seconds by which this machine's clock and the metadata store's may differ."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""The cutoff of a tenant whose documents are kept for ever: nothing is dated before it."""


@dataclass(frozen=True)
class Policy:
    """``days`` for every tenant; ``tenants`` those with a number of their own (None: for ever).

    A document is due when it was ingested before ``moment`` less its days: one that is exactly so
    old is kept. ``only`` names the tenants that are looked at; empty means all of them.
    """

    moment: datetime
    days: int = DAYS
    tenants: Mapping[str, int | None] = field(default_factory=dict)
    only: tuple[str, ...] = ()

    @property
    def cutoff(self) -> datetime:
        """Before it, a document of a tenant without days of its own is due."""
        return self.moment - timedelta(days=self.days)

    def cutoffs(self) -> dict[str, datetime]:
        """Return the cutoff of each tenant with days of its own."""
        return {
            tenant: LONG_AGO if days is None else self.moment - timedelta(days=days)
            for tenant, days in self.tenants.items()
        }

    def parameters(self) -> dict[str, object]:
        """Return what the statements of :mod:`scripts.retention.plan` are given."""
        own = self.cutoffs()
        return {
            "tier": TIER,
            "moment": self.moment,
            "cutoff": self.cutoff,
            "tenants": list(own),
            "cutoffs": list(own.values()),
            "only": list(self.only),
        }


def days_of(text: str) -> int:
    """Return a number of days. Raises UsageError for what is none, is below 1 or far too long."""
    try:
        days = int(text)
    except ValueError:
        days = 0
    if not 1 <= days <= MOST_DAYS:
        raise UsageError(
            "A retention is a whole number of days.",
            expected=f"1 to {MOST_DAYS}",
            actual=repr(text),
            next_step="with fewer than 1 everything would go; nothing was touched",
        )
    return days


def tenants_of(given: Sequence[str]) -> dict[str, int | None]:
    """Return the tenants' own days from ``TENANT=DAYS`` or ``TENANT=never``.

    Raises:
        UsageError: one is written otherwise, or a tenant comes twice.
    """
    found: dict[str, int | None] = {}
    for each in given:
        tenant, equals, text = each.rpartition("=")
        if not equals or not tenant or tenant in found:
            raise UsageError(
                "A tenant's own retention can't be read.",
                expected="--tenant-days TENANT=DAYS or TENANT=never, once for each tenant",
                actual=repr(each),
            )
        found[tenant] = None if text == "never" else days_of(text)
    return found


def moment_of(text: str | None, there: datetime, here: datetime) -> datetime:
    """Return the moment at which ages are judged: the metadata store's now, or an earlier one.

    Args:
        text: ``--as-of``, ISO 8601 with its time zone, or None.
        there: the clock of the metadata store.
        here: the clock of this machine.

    Raises:
        Refused: the two clocks disagree, so that one of them is wrong.
        UsageError: ``text`` is no moment, or lies ahead.
    """
    apart = abs((there - here).total_seconds())
    if apart > CLOCK_S:
        raise Refused(
            "The clocks of this machine and of the metadata store do not agree.",
            expected=f"at most {CLOCK_S:.0f} s apart",
            actual=f"{apart:.0f} s: {here.isoformat()} here, {there.isoformat()} there",
            next_step="set the clock that is wrong; by it, young documents would look old",
        )
    if text is None:
        return there
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UsageError(
            "--as-of is no moment.",
            expected="ISO 8601 with its time zone, such as 2026-05-09T08:00:00Z",
            actual=repr(text),
        )
    if moment > there:
        raise UsageError(
            "--as-of lies ahead.",
            expected=f"at most {there.isoformat()}",
            actual=moment.isoformat(),
            next_step="by a clock of the future everything is old; nothing was touched",
        )
    return moment


def refuse_too_many(due: int, documents: int, share: float, *, really: bool) -> None:
    """Raise Refused where more than ``share`` of all documents would go, unless it is ``really``
    meant."""
    if documents < due:
        raise TargetError(
            "The metadata store counts fewer documents than are due.",
            expected=f"at least {due}",
            actual=documents,
            next_step="run it again",
        )
    if due > documents * share and not really:
        raise Refused(
            f"The prune would take {due:,} of {documents:,} documents.",
            expected=f"at most {share:.0%} of them: whoever sets a clock or the days wrong finds "
            "that nearly everything is old",
            actual=f"{due / documents:.0%}",
            next_step="look at --dry-run; then --really",
        )
