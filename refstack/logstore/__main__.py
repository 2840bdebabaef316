"""`python -m refstack.logstore`."""

from refstack.common.server import run
from refstack.logstore.app import build

if __name__ == "__main__":
    raise SystemExit(run("logstore", build))
