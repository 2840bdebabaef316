"""`python -m refstack.gpuexporter`."""

from refstack.common.server import run
from refstack.gpuexporter.app import build

if __name__ == "__main__":
    raise SystemExit(run("gpuexporter", build))
