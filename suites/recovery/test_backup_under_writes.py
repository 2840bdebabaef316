"""recovery/partial-backup: what is taken while customers write and delete holds what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from fixtures.bucket import Backups, taken
from fixtures.holdings import Content
from fixtures.scribes import Scribes
from fixtures.scripts import StartScript
from harness import conformance, needs
from harness.core.evidence import Evidence

SCRIPTS = {"vectordb": "backup_qdrant.sh", "metadata": "backup_metadata.sh"}
COMPARED = {"vectordb": "points", "metadata": "rows"}
LEAST = 4
"""Acknowledgements that each writer gets before a backup: one turn of writing and deleting."""


class UnderWrites:
    """Takes backups of both stores under writers, and verifies each when they are done."""

    def __init__(
        self,
        scribes: Scribes,
        start_script: StartScript,
        write_document: Callable[[], str],
        backups: Backups,
        content: Content,
        evidence: Evidence,
    ) -> None:
        self._scribes, self._start, self._write = scribes, start_script, write_document
        self._backups, self._content, self._evidence = backups, content, evidence

    def take(self, count: int) -> None:
        """Take ``count`` pairs of backups, one after the other, and require that all are sound."""
        names = {self._write() for _ in range(3)}
        rounds: list[dict[str, str]] = []
        with self._scribes.at_work():
            for number in range(count):
                self._scribes.wait_for_more(LEAST)
                before = Counter(each.kind for each in self._scribes.acknowledged)
                running = {
                    store: self._start(name, "--no-prune") for store, name in SCRIPTS.items()
                }
                runs = {store: taken(each.finish()) for store, each in running.items()}
                kinds = Counter(each.kind for each in self._scribes.acknowledged) - before
                self._evidence.require(
                    f"backup {number + 1}: documents were written and deleted meanwhile",
                    kinds["put"] > 0 and kinds["delete"] > 0,
                    expected="some of either",
                    actual=dict(kinds),
                )
                rounds.append(runs)
        for number, runs in enumerate(rounds, start=1):
            verifying = {
                store: self._start("verify_backup.sh", "--backup", each, "--no-record")
                for store, each in runs.items()
            }
            for store, each in verifying.items():
                ran = each.finish()
                self._evidence.require(
                    f"backup {number}: {store} restores to what its manifest says",
                    ran.exit_code == 0,
                    expected="exit code 0",
                    actual=ran.told,
                )
                told = ran.event("finished").get(store, {})
                self._evidence.require(
                    f"backup {number}: all of {store} was compared",
                    int(told.get(COMPARED[store], 0)) > 0 and not told.get("not_compared"),
                    expected=f"{COMPARED[store]} that were compared, and none left out",
                    actual=told,
                )
        held = self._content.documents_in_backup(self._backups, rounds[-1]["vectordb"])
        self._evidence.require(
            "what was acknowledged before and stood is in the backup",
            names <= held,
            expected=sorted(names),
            actual=f"missing: {sorted(names - held)}",
        )
        self._backups.forget(*(each for runs in rounds for each in runs.values()))


@pytest.fixture
def under_writes(
    scribes: Scribes,
    start_script: StartScript,
    write_document: Callable[[], str],
    backups: Backups,
    content: Content,
    evidence: Evidence,
) -> UnderWrites:
    """Backups under writers."""
    return UnderWrites(scribes, start_script, write_document, backups, content, evidence)


@conformance("recovery/partial-backup", since="0.2")
@needs("read", "write", roles=["vectordb", "metadata", "objectstore", "edge"])
@pytest.mark.timeout(240)
def test_backups_under_writes_and_deletions_restore_to_what_they_say(
    under_writes: UnderWrites,
) -> None:
    """Backups of both stores that are taken while documents are written, replaced and deleted MUST
    restore to exactly the points and rows that their manifests tell, with no table left out, and
    hold what was acknowledged before."""
    under_writes.take(1)


@conformance("recovery/partial-backup", since="0.2", profiles=("full",))
@needs("read", "write", roles=["vectordb", "metadata", "objectstore", "edge"])
@pytest.mark.timeout(900)
def test_backups_in_a_row_under_writes_restore_to_what_they_say(under_writes: UnderWrites) -> None:
    """Each of five backups that are taken one after the other while documents are written, replaced
    and deleted MUST restore to exactly what its manifests tell."""
    under_writes.take(5)
