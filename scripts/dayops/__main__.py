"""``python -m scripts.dayops <name> ...``: what the files of ``scripts/*.sh`` run."""

from __future__ import annotations

import importlib
import sys

SCRIPTS = (
    *("backup_qdrant", "backup_metadata", "verify_backup", "restore_dr", "wal_archive"),
    *("rollout_gateway", "upgrade_qdrant", "promote_model"),
)


def main(argv: list[str]) -> int:
    """Run a script by its name; returns its exit code, 4 where there is no such script."""
    if not argv or argv[0] not in SCRIPTS:
        print(f"usage: python -m scripts.dayops {{{','.join(SCRIPTS)}}} ...", file=sys.stderr)
        return 4
    run = importlib.import_module(f"scripts.dayops.{argv[0]}").run
    return int(run(argv[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
