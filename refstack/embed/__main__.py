"""`python -m refstack.embed`."""

import os

# Before numpy is imported: its threads would only contend for the cores of the pool's own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from refstack.common.server import run
from refstack.embed.app import build

if __name__ == "__main__":
    raise SystemExit(run("embed", build))
