"""`python -m refstack.embed`."""

from refstack.common.server import run
from refstack.embed.app import build

if __name__ == "__main__":
    raise SystemExit(run("embed", build))
