"""`python -m refstack.vectordb --host H --port N`: the server."""

from __future__ import annotations

import sys

from starlette.types import ASGIApp

from refstack.common.context import RequestContext
from refstack.common.server import run
from refstack.common.settings import Environment
from refstack.vectordb.app import App
from refstack.vectordb.settings import read_settings


def build(environment: Environment) -> ASGIApp:
    """The application, its storage locked. Raises `SettingError`."""
    return RequestContext(App(read_settings(environment)), lambda *_: None)


if __name__ == "__main__":
    sys.exit(run("vectordb", build))
