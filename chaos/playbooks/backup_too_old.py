"""Playbook for a backup that is too old or missing (guide 4 and 5): take one now, and try it."""

from __future__ import annotations

from chaos.playbooks.backups import SCRIPTS, backup_ages_h, run_to_a_good_end
from chaos.playbooks.base import Playbook, Seen, Step
from harness.drivers.base import Stack

OLDEST_H = 26.0
"""A nightly backup (guide 4) and two hours for it: the limit of the alert RAG_Backup_Too_Old."""


def _too_old(stack: Stack) -> Seen:
    ages = backup_ages_h(stack)
    return Seen(
        any(age > OLDEST_H for age in ages.values()),
        {f"{store}_age_h": round(age, 1) for store, age in ages.items()} | {"limit_h": OLDEST_H},
    )


def _back_up(stack: Stack) -> None:
    for script in SCRIPTS.values():
        run_to_a_good_end(stack, script)


def _verified(stack: Stack) -> Seen:
    run_to_a_good_end(stack, "verify_backup.sh")
    return Seen(True, {"verify_backup.sh": "exit code 0"})


BACKUP_TOO_OLD = Playbook(
    slug="backup-too-old",
    title="The newest backup is too old, or there is none",
    section="4, 5",
    anchor="backup-too-old",
    starts_when="RAG_Backup_Too_Old, RAG_Backup_Missing or RAG_WAL_Archive_Failing fires: whatever "
    "is lost now is lost since the last backup.",
    alerts=("RAG_Backup_Too_Old", "RAG_Backup_Missing", "RAG_WAL_Archive_Failing"),
    steps=(
        Step(
            slug="back-up-now",
            sentence="If the newest backup of a store is older than 26 hours, take one of both now "
            "and try to restore it; then find out why the nightly one did not come.",
            look="`mc ls minio/rag-backups/` names the last day; in Prometheus: `(time() - max by "
            "(store) (rag_backup_last_success_timestamp_seconds)) / 3600` is the age in hours.",
            command="`scripts/backup_qdrant.sh && scripts/backup_metadata.sh`",
            expect="Both end with exit code 0 and name the backup; `scripts/verify_backup.sh` "
            "restores both into a scratch place and ends with 0. The alert ends with the next look "
            "into the bucket.",
            way_back="Nothing to take back: an additional backup is pruned in its time.",
            condition=_too_old,
            action=_back_up,
            effect=_verified,
            needs=("read",),
            ends_cause=True,
        ),
    ),
)
