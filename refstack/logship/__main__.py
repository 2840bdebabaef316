"""`python -m refstack.logship`."""

from refstack.common.server import run
from refstack.logship.app import build

if __name__ == "__main__":
    raise SystemExit(run("logship", build))
