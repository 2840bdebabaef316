"""``python -m scripts.cve``: what scripts/cve_scan.sh runs."""

import sys

from scripts.cve.scan import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
