"""`python -m refstack.rerank`."""

from refstack.common.server import run
from refstack.rerank.app import build

if __name__ == "__main__":
    raise SystemExit(run("rerank", build))
