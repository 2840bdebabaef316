"""``python -m scripts.rotation <name> ...``: what scripts/rotate_*.sh run."""

from __future__ import annotations

import importlib
import sys

SCRIPTS = {"signing_key": "signing", "provider_key": "provider"}


def main(argv: list[str]) -> int:
    """Run a script by its name; returns its exit code, 4 where there is no such script."""
    if not argv or argv[0] not in SCRIPTS:
        print(f"usage: python -m scripts.rotation {{{','.join(SCRIPTS)}}} ...", file=sys.stderr)
        return 4
    run = importlib.import_module(f"scripts.rotation.{SCRIPTS[argv[0]]}").run
    return int(run(argv[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
