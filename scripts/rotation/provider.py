"""``rotate_provider_key.sh``: a provider's new key goes into service, and nobody's request fails.

The new key (NEW_PROVIDER_KEY) is tried at the provider first and must give the vectors that the
old one gives; then the gateway is rolled over to it; then the old one is dropped, and only then is
it forgotten here. A provider issues a key on a page of its own: this begins once there is one.
Run it again, whatever happened: it goes on. Without NEW_PROVIDER_KEY it ends what is under way.
"""

from __future__ import annotations

import getpass
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from harness.core.errors import HarnessError, TargetError, UsageError
from scripts.dayops.commands import run_command
from scripts.dayops.script import Refused, Task, main, parser
from scripts.rotation.files import Register, alone, audit, write

KIND = "api"
WORDS = "What does the warranty of the blue kettle cover?"
ALIKE = 0.999
"""Cosine of the two keys' vectors of :data:`WORDS`: less is another model, or another account's."""
PATIENCE_S = 60.0
TIMEOUT_S = 30.0
NEEDED = (
    *("PROVIDER_URL", "PROVIDER_MODEL", "PROVIDER_KEY_FILE", "PROVIDER_KEY_NAME"),
    *("PROVIDER_KEY_APPLY_CMD", "GATEWAY_URL", "KEY_REGISTER"),
)
READS = (*NEEDED, "NEW_PROVIDER_KEY", "PROVIDER_KEY_DROP_CMD", "GATEWAY_URLS", "GATEWAY_READY_PATH")


def _arguments() -> Any:
    made = parser("rotate_provider_key.sh", __doc__ or "", READS)
    made.add_argument("--dry-run", action="store_true", help="try the new key, change nothing")
    made.add_argument("--status", action="store_true", help="change nothing, say how it stands")
    return made


class Provider:
    """An OpenAI-compatible provider of embeddings."""

    def __init__(self, url: str, model: str) -> None:
        self._url, self._model = url, model
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def vector(self, key: str) -> list[float] | None:
        """Return the vector of :data:`WORDS`, or None where the key is refused.

        Raises:
            TargetError: the provider does not answer, or not with a vector.
        """
        try:
            answer = self._client.post(
                f"{self._url}/v1/embeddings",
                json={"input": WORDS, "model": self._model},
                headers={"Authorization": f"Bearer {key}"},
            )
            if answer.status_code in (401, 403):
                return None
            answer.raise_for_status()
            found = [float(value) for value in answer.json()["data"][0]["embedding"]]
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            raise TargetError(
                "The provider does not embed.",
                expected=f"a vector of {self._model} from PROVIDER_URL",
                actual=f"{type(error).__name__}: {error}".splitlines()[0],
                next_step="check PROVIDER_URL and PROVIDER_MODEL, and run this again",
            ) from error
        if not found or not all(math.isfinite(value) for value in found) or not any(found):
            raise TargetError("The provider's vector is none.", actual=f"{len(found)} values")
        return found


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine of two vectors; 0 for vectors of two lengths."""
    if len(one) != len(other):
        return 0.0
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))


class Rotation:
    """One run of the script."""

    def __init__(self, task: Task) -> None:
        environment = task.environment
        self._task, self._log, self._told = task, task.log, task.told
        self._file = Path(environment["PROVIDER_KEY_FILE"])
        self._previous = self._file.with_name(f"{self._file.name}.previous")
        self._name = environment["PROVIDER_KEY_NAME"]
        self._register = Register(Path(environment["KEY_REGISTER"]))
        self._provider = Provider(environment["PROVIDER_URL"], environment["PROVIDER_MODEL"])
        urls = environment["GATEWAY_URLS"] or environment["GATEWAY_URL"]
        self._gateways = [each.strip().rstrip("/") for each in urls.split(",") if each.strip()]
        self._new = environment["NEW_PROVIDER_KEY"].strip()

    def status(self) -> None:
        """Tell since when the key is in use, and whether an old one is still to be dropped."""
        created = self._register.created(self._name)
        old = _held(self._previous)
        self._told |= {
            "key": self._name,
            "created": created.isoformat() if created else None,
            "age_days": (datetime.now(UTC) - created).days if created else None,
            "works": self._provider.vector(self._current()) is not None,
            "old_still_to_drop": old is not None,
            "old_still_taken": old is not None and self._provider.vector(old) is not None,
        }
        for name, value in self._told.items():
            self._log.say(f"{name}: {value}")

    def run(self) -> None:
        """Do whatever comes next."""
        current = self._current()
        if self._new and self._new not in (current, _held(self._previous)):
            self._try(current)
            if self._task.arguments.dry_run:
                self._log.say("the new key works; nothing was changed")
                return
            self._put_in(current)
        elif self._new and self._new == _held(self._previous):
            raise Refused(
                "NEW_PROVIDER_KEY is the key that is on its way out.",
                expected="a key that was not in use before",
                actual="the former one",
                next_step="have the provider issue another",
            )
        elif self._task.arguments.dry_run:
            self._log.say("there is no new key; nothing was changed")
            return
        elif _held(self._previous) is not None:
            # Interrupted in the middle, perhaps before the gateway was rolled over.
            self._apply(current)
        self._drop()

    def _current(self) -> str:
        held = _held(self._file)
        if held is None:
            raise UsageError(
                "There is no key in use.",
                expected=f"the provider's key in {self._file}",
                next_step="write the key that the gateway has now into PROVIDER_KEY_FILE",
            )
        return held

    def _try(self, current: str) -> None:
        with self._log.step("try") as told:
            new, old = self._provider.vector(self._new), self._provider.vector(current)
            if new is None:
                raise Refused(
                    "The provider refuses the new key.",
                    expected="a vector",
                    actual="401 or 403",
                    next_step="the old key stays in use; check NEW_PROVIDER_KEY",
                )
            if old is None:
                self._log.warn("old_refused", "the provider refuses the old key already")
            elif (alike := cosine(new, old)) < ALIKE:
                raise Refused(
                    "The new key gives other vectors than the old one.",
                    expected=f"a cosine of {ALIKE} or more",
                    actual=round(alike, 4),
                    next_step="is it a key of the same account and model? the old one stays",
                )
            told["dimensions"] = len(new)

    def _put_in(self, current: str) -> None:
        # The old one first: wherever this ends, neither key is lost.
        write(self._previous, current)
        write(self._file, self._new)
        try:
            self._apply(self._new)
        except HarnessError:
            write(self._file, current)
            try:
                self._apply(current)
            finally:
                self._previous.unlink(missing_ok=True)
            raise

    def _apply(self, key: str) -> None:
        with self._log.step("apply"):
            run_command(
                self._task.environment["PROVIDER_KEY_APPLY_CMD"],
                "PROVIDER_KEY_APPLY_CMD",
                {"PROVIDER_KEY": key},
            )
            self._ready()
            if key == self._new or not self._new:
                self._register.record(self._name, KIND, datetime.now(UTC))
                audit(self._file, what="applied", key=self._name, by=_user())

    def _drop(self) -> None:
        old, command = _held(self._previous), self._task.environment["PROVIDER_KEY_DROP_CMD"]
        if old is None:
            self._told |= {"key": self._name, "dropped": None}
            return
        # Nothing is dropped before what takes its place is seen to work.
        if self._provider.vector(self._current()) is None:
            raise TargetError(
                "The provider refuses the key that is in use now.",
                expected="a vector",
                next_step="the old key is not dropped; have another one issued",
            )
        with self._log.step("drop") as told:
            if command:
                run_command(command, "PROVIDER_KEY_DROP_CMD", {"PROVIDER_KEY_OLD": old})
            if not self._refused(old, patient=bool(command)):
                told["state"] = "waiting"
                self._told |= {"key": self._name, "dropped": False}
                self._log.warn(
                    "old_still_taken",
                    "the provider still takes the old key: delete it on its page and run this "
                    "again, which looks and then forgets it",
                )
                return
            self._ready()
            self._previous.unlink()
            audit(self._file, what="dropped", key=self._name, by=_user())
        self._told |= {"key": self._name, "dropped": True}

    def _refused(self, key: str, *, patient: bool) -> bool:
        give_up = time.monotonic() + (PATIENCE_S if patient else 0)
        while True:
            try:
                if self._provider.vector(key) is None:
                    return True
            except TargetError:
                # A provider of one's own may be restarted by the command.
                if not patient:
                    raise
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.5)

    def _ready(self) -> None:
        path = self._task.environment["GATEWAY_READY_PATH"]
        for url in self._gateways:
            give_up = time.monotonic() + PATIENCE_S
            while True:
                try:
                    status = httpx.get(url + path, timeout=5, trust_env=False).status_code
                    said = str(status)
                except httpx.HTTPError as error:
                    status, said = 0, type(error).__name__
                if status == 200:
                    break
                if time.monotonic() > give_up:
                    raise TargetError(
                        f"{url} is not ready.", expected=f"200 of {path}", actual=said
                    )
                time.sleep(0.2)


def _held(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _work(task: Task) -> None:
    rotation = Rotation(task)
    if task.arguments.status:
        rotation.status()
        return
    with alone(Path(task.environment["PROVIDER_KEY_FILE"])):
        rotation.run()


def run(argv: Sequence[str] | None = None) -> int:
    """Rotate; returns the exit code."""
    return main("rotate_provider_key.sh", _arguments(), NEEDED, _work, argv)
