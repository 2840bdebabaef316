"""`python -m refstack.opsexporter`."""

from refstack.common.server import run
from refstack.opsexporter.app import build

if __name__ == "__main__":
    raise SystemExit(run("opsexporter", build))
