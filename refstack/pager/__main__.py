"""`python -m refstack.pager`."""

from refstack.common.server import run
from refstack.pager.app import build

if __name__ == "__main__":
    raise SystemExit(run("pager", build))
