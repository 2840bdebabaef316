"""Durability: what a log of writes and a final read say about acknowledged content.

The model is a register for each key. A *definite* rejection had no effect. An *indefinite*
operation (timeout, broken connection) may have taken effect at any time after it was sent, or
never, so it excuses what it could have caused and accuses nobody.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from harness.checks.result import CheckResult
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

State = Literal["acknowledged", "rejected", "indefinite"]

EXAMPLES = 20
"""How many findings of each kind a result carries; all are counted."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One write as its client saw it.

    ``digest`` stands for the content that a ``put`` wrote. ``invoked`` and ``completed`` are on one
    clock of any unit; they tell which of two operations on a key came first, and operations that
    overlap may have taken effect in either order. ``completed`` may be ``None`` unless the
    operation was acknowledged.
    """

    op: str
    kind: Literal["put", "delete"]
    key: str
    state: State
    invoked: float
    completed: float | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("put", "delete"):
            raise HarnessError("unknown operation", expected="put or delete", actual=self.kind)
        if self.state not in ("acknowledged", "rejected", "indefinite"):
            raise HarnessError(
                "unknown state of an operation",
                expected="acknowledged, rejected or indefinite (in doubt: indefinite)",
                actual=self.state,
            )
        if self.kind == "put" and self.digest is None:
            raise HarnessError("a put needs the digest of what it wrote", actual=self.op)
        if self.state == "acknowledged" and self.completed is None:
            raise HarnessError("an acknowledged operation has an end", actual=self.op)
        if self.completed is not None and self.completed < self.invoked:
            raise HarnessError("an operation ended before it began", actual=self.op)


@dataclass(frozen=True, slots=True)
class Finding:
    """A key whose final content no order of the operations explains."""

    key: str
    found: list[str]
    allowed: list[str]
    ops: list[str]
    note: str


@dataclass(slots=True)
class Durability:
    """Findings told apart.

    ``lost``: acknowledged content is gone, or older content stands in its place. ``phantom``:
    content that nobody wrote or whose write was definitely rejected. ``duplicate``: more than one
    record of a key. ``resurrected``: content back after an acknowledged delete. A key may be in
    more than one. ``excused`` counts keys that only an indefinite operation explains.
    """

    lost: list[Finding] = field(default_factory=list)
    phantom: list[Finding] = field(default_factory=list)
    duplicate: list[Finding] = field(default_factory=list)
    resurrected: list[Finding] = field(default_factory=list)
    acknowledged: int = 0
    rejected: int = 0
    indefinite: int = 0
    keys: int = 0
    excused: int = 0

    def counts(self) -> dict[str, int]:
        """Return the number of findings by kind."""
        return {
            "lost": len(self.lost),
            "phantom": len(self.phantom),
            "duplicate": len(self.duplicate),
            "resurrected": len(self.resurrected),
        }


def compare(
    operations: Iterable[Operation],
    final: Iterable[tuple[str, str]],
    initial: Mapping[str, str] | None = None,
) -> Durability:
    """Compare a log with a final read.

    ``final`` holds (key, digest) of every record that was read in the end, each record once;
    ``initial`` what was there before the first operation. Both must cover the same keys as the log:
    a foreign record is a phantom.
    """
    log: dict[str, list[Operation]] = defaultdict(list)
    found: dict[str, list[str]] = defaultdict(list)
    result = Durability()
    for operation in operations:
        log[operation.key].append(operation)
        result.acknowledged += operation.state == "acknowledged"
        result.rejected += operation.state == "rejected"
        result.indefinite += operation.state == "indefinite"
    for key, digest in (initial or {}).items():
        log[key].append(
            Operation("initial", "put", key, "acknowledged", -math.inf, -math.inf, digest)
        )
    for key, digest in final:
        found[key].append(digest)
    keys = sorted(set(log) | set(found))
    result.keys = len(keys)
    for key in keys:
        _judge_key(key, log.get(key, []), found.get(key, []), result)
    return result


def acknowledged_verdict(
    operations: Iterable[Operation],
    final: Iterable[tuple[str, str]],
    initial: Mapping[str, str] | None = None,
) -> CheckResult:
    """Judge that every acknowledged write is there as acknowledged, and nothing else.

    A log without an acknowledged write shows nothing and is inconclusive.
    """
    durability = compare(operations, final, initial)
    counts = durability.counts()
    verdict = Verdict.PASS
    details: dict[str, Any] = {
        **counts,
        "acknowledged": durability.acknowledged,
        "rejected": durability.rejected,
        "indefinite": durability.indefinite,
        "keys": durability.keys,
        "excused": durability.excused,
    }
    if any(counts.values()):
        verdict = Verdict.FAIL
        details["examples"] = {
            kind: [asdict(finding) for finding in getattr(durability, kind)[:EXAMPLES]]
            for kind, count in counts.items()
            if count
        }
    elif not durability.acknowledged:
        verdict = Verdict.INCONCLUSIVE
        details["reason"] = "no write was acknowledged"
    return CheckResult(
        verdict,
        "acknowledged writes",
        expected="0 lost, 0 phantom, 0 duplicate, 0 resurrected",
        actual=", ".join(f"{count} {kind}" for kind, count in counts.items())
        + f" of {durability.acknowledged} acknowledged",
        details=details,
    )


def _judge_key(key: str, ops: list[Operation], found: list[str], result: Durability) -> None:
    acknowledged = [op for op in ops if op.state == "acknowledged"]
    latest = max(acknowledged, key=lambda op: op.invoked, default=None)
    standing = [
        op for op in acknowledged if op is latest or latest is None or _end(op) > latest.invoked
    ]
    possible = standing + [op for op in ops if op.state == "indefinite"]
    allowed = {op.digest for op in possible if op.kind == "put" and op.digest is not None}
    may_be_absent = not acknowledged or any(op.kind == "delete" for op in possible)

    def note(kind: list[Finding], text: str) -> None:
        kind.append(Finding(key, found, sorted(allowed), [op.op for op in standing], text))

    if len(found) > 1:
        note(result.duplicate, f"{len(found)} records of one key")
    explained = [digest for digest in found if digest in allowed]
    if not found and not may_be_absent:
        note(result.lost, "absent, and its last acknowledged write was a put")
    superseded = {op.digest for op in acknowledged if op.kind == "put"} - allowed
    rejected = {op.digest for op in ops if op.state == "rejected" and op.kind == "put"}
    deletes = [op for op in standing if op.kind == "delete"]
    deleted = bool(standing) and len(deletes) == len(standing)
    for digest in dict.fromkeys(digest for digest in found if digest not in allowed):
        if digest in superseded and deleted:
            note(result.resurrected, "content is back after its acknowledged delete")
        elif digest in superseded:
            if not explained:
                note(result.lost, "an older acknowledged content stands in place of a newer one")
        elif digest in rejected:
            note(result.phantom, "content of a write that was definitely rejected")
        else:
            note(result.phantom, "content that no operation wrote")
    if found and not explained and not may_be_absent and not set(found) & superseded:
        note(result.lost, "other content stands in place of what was acknowledged")
    certain = {op.digest for op in standing if op.kind == "put"}
    present_by_doubt = bool(explained) and not certain.intersection(explained)
    absent_by_doubt = not found and may_be_absent and bool(certain) and not deletes
    result.excused += present_by_doubt or absent_by_doubt


def _end(operation: Operation) -> float:
    return math.inf if operation.completed is None else operation.completed
