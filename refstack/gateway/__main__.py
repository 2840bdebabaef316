"""Start the gateway: `python -m refstack.gateway --host H --port N`."""

import sys

from refstack.common.server import run
from refstack.gateway.app import build

DRAIN_S = 0.3
"""Seconds of serving after SIGTERM, so that nginx lets go of its kept-alive connections first."""

if __name__ == "__main__":
    sys.exit(run("gateway", build, drain_s=DRAIN_S))
