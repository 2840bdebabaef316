"""Playbook for a disk that fills up (guide 7): the bucket of the backups is what grows."""

from __future__ import annotations

from chaos.playbooks.backups import one_value, run_to_a_good_end
from chaos.playbooks.base import Playbook, Seen, Step
from harness.drivers.base import Stack

FULL = 0.7
"""Share of the disk (guide 7)."""

KEEP = ("--prune-only", "--keep-days", "7", "--keep-weeks", "4")
_SHARE = (
    "max(max by (bucket) (rag_backup_bucket_used_bytes)"
    " / min by (bucket) (rag_backup_bucket_capacity_bytes))"
)


def _bucket_is_filling(stack: Stack) -> Seen:
    share = one_value(stack, _SHARE)
    return Seen(share >= FULL, {"bucket_share": round(share, 3), "limit": FULL})


def _prune(stack: Stack) -> None:
    run_to_a_good_end(stack, "backup_qdrant.sh", *KEEP)
    run_to_a_good_end(stack, "backup_metadata.sh", *KEEP)


def _bucket_has_room(stack: Stack) -> Seen:
    share = one_value(stack, _SHARE)
    return Seen(share < FULL, {"bucket_share": round(share, 3), "limit": FULL})


DISK_FULL = Playbook(
    slug="disk-full",
    title="A disk is filling up",
    section="7",
    anchor="disk-full",
    starts_when="RAG_Backup_Bucket_Filling fires: the backups take 70 % of their disk.",
    alerts=("RAG_Backup_Bucket_Filling",),
    steps=(
        Step(
            slug="prune-backups",
            sentence="If the bucket of the backups takes 70 % of its disk, keep fewer: a backup "
            "that does not fit is worse than one fewer of last month. Then expand the store.",
            look="`mc du minio/rag-backups` and `df -h` on the object store's host; in Prometheus: "
            "`rag_backup_bucket_used_bytes / rag_backup_bucket_capacity_bytes`.",
            command="`scripts/backup_qdrant.sh --prune-only --keep-days 7 --keep-weeks 4 && "
            "scripts/backup_metadata.sh --prune-only --keep-days 7 --keep-weeks 4`, which needs no "
            "room, and never takes the newest whole backup that was not found to be bad",
            expect="The share falls below 70 % with the next look into the bucket. If it does not, "
            "only a larger disk helps.",
            way_back="None: what is pruned is gone. Raise --keep-days again once there is room.",
            condition=_bucket_is_filling,
            action=_prune,
            effect=_bucket_has_room,
            needs=("destroy",),
            ends_cause=True,
        ),
    ),
)
