"""Playbook for a backup that can't be restored, and for data that are lost (guide 5 and 5.1)."""

from __future__ import annotations

from chaos.playbooks.backups import SCRIPTS, newest_day, one_value, run_to_a_good_end
from chaos.playbooks.base import Playbook, Seen, Step
from harness.core.errors import TargetError
from harness.drivers.base import Stack
from harness.drivers.operator import run_script

GOOD, BAD = 0, 1


def _verification_fails(stack: Stack) -> Seen:
    ended = run_script(stack, "verify_backup.sh", "--no-record")
    if ended.exit_code not in (GOOD, BAD):
        raise TargetError(
            "The newest backup could not be tried, which shows nothing.",
            expected="exit code 0 (it restores) or 1 (it does not)",
            actual=f"exit code {ended.exit_code}: {ended.told}",
        )
    return Seen(ended.exit_code == BAD, {"verify_backup.sh": ended.exit_code})


def _back_up_in_full(stack: Stack) -> None:
    run_to_a_good_end(stack, SCRIPTS["vectordb"], "--full")
    run_to_a_good_end(stack, SCRIPTS["metadata"])


def _verification_passes(stack: Stack) -> Seen:
    ended = run_script(stack, "verify_backup.sh")
    return Seen(ended.exit_code == GOOD, {"verify_backup.sh": ended.exit_code})


def lost_points(stack: Stack) -> float:
    """Return how many chunks of the metadata store have no point in the vector store.

    Raises:
        TargetError: Prometheus does not know.
    """
    return one_value(stack, "max(rag_vectordb_lost_chunks)")


def _points_are_lost(stack: Stack) -> Seen:
    lost = lost_points(stack)
    return Seen(lost > 0, {"chunks_without_a_point": lost})


def _restore(stack: Stack) -> None:
    day = newest_day(stack, "vectordb")
    run_to_a_good_end(stack, "restore_dr.sh", "--date", day, "--store", "vectordb")


def _stores_agree(stack: Stack) -> Seen:
    lost = lost_points(stack)
    return Seen(lost <= 0, {"chunks_without_a_point": lost})


FAILED_RESTORE = Playbook(
    slug="failed-restore",
    title="A backup can't be restored, or data are lost",
    section="5, 5.1",
    anchor="failed-restore",
    starts_when="RAG_Backup_Verification_Failed, RAG_Backup_Verification_Too_Old or RAG_Data_Lost "
    "fires, or scripts/restore_dr.sh ended with another exit code than 0.",
    alerts=(
        "RAG_Backup_Verification_Failed",
        "RAG_Backup_Verification_Too_Old",
        "RAG_Data_Lost",
    ),
    steps=(
        Step(
            slug="back-up-anew",
            sentence="If the newest backup does not restore, take a full one while the stores are "
            "well, before anything else: until then there is nothing to fall back to. Keep the bad "
            "one to find out what happened to it.",
            look="`scripts/verify_backup.sh` restores the newest backup of each store into a "
            "scratch place: exit code 1 means that it is bad, 2 that it could not be tried.",
            command="`scripts/backup_qdrant.sh --full && scripts/backup_metadata.sh`, then "
            "`scripts/verify_backup.sh`",
            expect="verify_backup.sh ends with exit code 0.",
            way_back="Nothing to take back.",
            condition=_verification_fails,
            action=_back_up_in_full,
            effect=_verification_passes,
            needs=("read",),
            ends_cause=True,
        ),
        Step(
            slug="restore-vectors",
            sentence="If the vector store lacks points that the metadata store knows, restore it "
            "from its newest backup; what came later is embedded again from the documents.",
            look="In Prometheus: `max(rag_vectordb_lost_chunks)` is "
            "more than 0, for more than the moment that a write takes.",
            command="`scripts/restore_dr.sh --date <yyyy-mm-dd> --store vectordb` with the newest "
            "day of `mc ls minio/rag-backups/`; a restore that failed halfway has changed nothing "
            "that serves and is simply run again.",
            expect="Exit code 0, and the difference is 0 within a minute.",
            way_back="Before the switch nothing has changed; after it the former collection is "
            "there until the next restore.",
            condition=_points_are_lost,
            action=_restore,
            effect=_stores_agree,
            needs=("destroy",),
            ends_cause=True,
        ),
    ),
)
