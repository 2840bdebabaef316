"""`python -m refstack.auth`."""

from refstack.auth.app import build
from refstack.common.server import run

if __name__ == "__main__":
    raise SystemExit(run("auth", build))
