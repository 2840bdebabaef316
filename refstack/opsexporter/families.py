"""Every metric of the exporter: name, type, meaning and labels. Nothing else is exported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One metric. ``labels`` are all it ever carries."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    counter: bool = False


@dataclass(frozen=True)
class Sample:
    """One measured value of a family; ``labels`` in the family's order."""

    family: str
    value: float
    labels: tuple[str, ...] = ()


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "rag_backup_last_success_timestamp_seconds",
            "When the newest complete backup of a store was taken.",
            ("store",),
        ),
        Family(
            "rag_backup_verification_timestamp_seconds",
            "When a backup of a store was last restored for verification.",
            ("store",),
        ),
        Family(
            "rag_backup_verification_success",
            "1 if the last verification restored what had been backed up, else 0.",
            ("store",),
        ),
        Family(
            "rag_backup_bucket_used_bytes",
            "Size of all objects in the backup bucket.",
            ("bucket",),
        ),
        Family(
            "rag_backup_bucket_capacity_bytes",
            "Room of the backup bucket: its quota, or what it has and what its disk has left.",
            ("bucket",),
        ),
        Family(
            "rag_leakage_findings",
            "Points that the last leakage audit found in a namespace that is not theirs.",
        ),
        Family("rag_leakage_audit_timestamp_seconds", "When the last leakage audit ended."),
        Family(
            "rag_metadata_wal_archive_last_success_timestamp_seconds",
            "When a segment of the write-ahead log was last archived; 0 for never.",
        ),
        Family(
            "rag_metadata_wal_archive_last_failure_timestamp_seconds",
            "When archiving a segment last failed; 0 for never.",
        ),
        Family(
            "rag_metadata_wal_archived_total",
            "Segments of the write-ahead log archived.",
            counter=True,
        ),
        Family(
            "rag_metadata_wal_archive_failures_total",
            "Failed tries to archive a segment.",
            counter=True,
        ),
        Family("rag_metadata_chunks", "Committed chunks, of all tenants together."),
        Family(
            "rag_vectordb_indexed_chunks",
            "Points of the collection that answers, counted just after the committed chunks.",
        ),
        Family(
            "rag_vectordb_lost_chunks",
            "Committed chunks that have no point in the collection that answers: at least so many, "
            "and exactly so many as soon as all of them were looked up.",
        ),
        Family("rag_vectordb_points", "Points of a collection.", ("collection",)),
        Family("rag_ops_queue_length", "Entries of a queue that are due.", ("queue",)),
        Family(
            "rag_key_created_timestamp_seconds",
            "When a key in use was made.",
            ("key", "kind"),
        ),
        Family(
            "rag_certificate_not_after_timestamp_seconds",
            "Until when the certificate that is served is valid.",
            ("name",),
        ),
        Family("rag_ops_probe_success", "1 if the role takes connections, else 0.", ("role",)),
        Family(
            "rag_ops_source_up", "1 if the source could be read last time, else 0.", ("source",)
        ),
    )
}
