"""What the playbooks about backups share: how old they are, how full their bucket is, and how the
day-two scripts are run to a good end."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from chaos.playbooks.looking import ask_prometheus
from harness.core.errors import TargetError
from harness.drivers.base import Stack
from harness.drivers.operator import run_script

STORES = ("vectordb", "metadata")
SCRIPTS = {"vectordb": "backup_qdrant.sh", "metadata": "backup_metadata.sh"}
_SUCCESS = "rag_backup_last_success_timestamp_seconds"


def run_to_a_good_end(stack: Stack, script: str, *arguments: str) -> None:
    """Run a script of ``scripts/``.

    Raises:
        TargetError: it ended with another exit code than 0.
    """
    ended = run_script(stack, script, *arguments)
    if ended.exit_code != 0:
        raise TargetError(
            f"scripts/{script} did not do what it is for.",
            expected="exit code 0",
            actual=f"exit code {ended.exit_code}: {ended.told}",
            next_step="scripts/README.md says what each exit code means",
        )


def backup_ages_h(stack: Stack) -> dict[str, float]:
    """Return how many hours ago the last backup of each store ended well; infinity for none.

    Raises:
        TargetError: what watches the bucket can't see it, so nothing is known.
    """
    if ask_prometheus(stack, 'max(rag_ops_source_up{source="objectstore"})') != [1.0]:
        raise TargetError(
            "How old the backups are can't be seen.",
            expected='rag_ops_source_up{source="objectstore"} is 1 in Prometheus',
            next_step="look into the bucket itself: `mc ls minio/rag-backups/`",
        )
    found = {}
    for store in STORES:
        ages = ask_prometheus(stack, f'time() - max({_SUCCESS}{{store="{store}"}})')
        found[store] = ages[0] / 3600 if ages else math.inf
    return found


def newest_day(stack: Stack, store: str) -> str:
    """Return the day (UTC, ``yyyy-mm-dd``) of the newest backup of a store.

    Raises:
        TargetError: there is none that Prometheus knows of.
    """
    found = ask_prometheus(stack, f'max({_SUCCESS}{{store="{store}"}})')
    if not found:
        raise TargetError(
            f"There is no backup of {store} to restore from.",
            expected=f"{_SUCCESS} in Prometheus",
            next_step="look into the bucket itself: `mc ls minio/rag-backups/`",
        )
    return datetime.fromtimestamp(found[0], UTC).strftime("%Y-%m-%d")


def one_value(stack: Stack, query: str) -> float:
    """Return the only value of a query.

    Raises:
        TargetError: Prometheus has none, so nothing is known.
    """
    found = ask_prometheus(stack, query)
    if len(found) != 1 or not math.isfinite(found[0]):
        raise TargetError(
            "Prometheus does not know.", expected=f"one value of {query}", actual=found or "none"
        )
    return found[0]
