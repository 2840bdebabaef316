"""How the leakage scripts speak: steps on stdout, progress on stderr, alarms to the chat."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NoReturn

import httpx

from harness.core.errors import HarnessError, UsageError
from scripts.dayops.environment import CONTRACT, Environment

CLEAN, LEAK, UNCHECKED, USAGE = 0, 1, 2, 4
"""Exit codes of both scripts."""

EVERY_S = 2.0
CHAT_S = 10.0


def step(event: str, **fields: object) -> None:
    """Log one step: a JSON object on one line of stdout."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    print(json.dumps({"ts": stamp, "event": event, **fields}, default=str), flush=True)


def progress() -> Callable[[str], None]:
    """Return a function that shows how far long work is, every :data:`EVERY_S` s at most."""
    shown = time.monotonic()

    def show(text: str) -> None:
        nonlocal shown
        if time.monotonic() >= shown + EVERY_S:
            shown = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    return show


def tell_chat(environment: Environment, text: str) -> bool:
    """Post a message to ``CHAT_WEBHOOK_URL``; False if none is set or it does not take it.

    The body is ``{"text": ...}``, which chat webhooks understand.
    """
    if not environment.has("CHAT_WEBHOOK_URL"):
        return False
    try:
        answer = httpx.post(
            environment["CHAT_WEBHOOK_URL"], json={"text": text}, timeout=CHAT_S, trust_env=False
        )
        answer.raise_for_status()
    except httpx.HTTPError as error:
        step("chat_not_told", reason=f"{type(error).__name__}: {error}"[:200])
        print(f"The chat was not told: {error}", file=sys.stderr)
        return False
    step("chat_told")
    return True


def explain(error: HarnessError) -> int:
    """Say on stderr what stopped the script; returns its exit code."""
    print(error, file=sys.stderr)
    return USAGE if isinstance(error, UsageError) else UNCHECKED


class Parser(argparse.ArgumentParser):
    """A command line whose help is the script's docstring and the variables that it reads."""

    def __init__(self, name: str, docstring: str, variables: Sequence[str]) -> None:
        listed = "\n".join(f"  {each:<18} {CONTRACT[each].meaning}" for each in variables)
        super().__init__(
            prog=name,
            description=docstring,
            epilog=f"environment:\n{listed}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Refuse the command line; argparse would end with 2, which means something else here.

        Raises:
            UsageError: always.
        """
        raise UsageError(message, next_step="--help lists the arguments and exit codes")
