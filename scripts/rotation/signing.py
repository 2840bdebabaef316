"""``rotate_signing_key.sh``: the key that signs tokens is replaced, and nobody's request fails.

A new key is published for verifying first; once every gateway takes it, it signs; the old one goes
on verifying until the last token that it signed has ended; then it goes. Each step is proved by
what the services do, and kept in a file: run it again, whatever happened, and it goes on.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessError, UsageError
from scripts.dayops.commands import run_command
from scripts.dayops.script import Log, Refused, Task, main, parser
from scripts.rotation.files import Register, alone, audit, read_json, write
from scripts.rotation.keyset import KeySet, new_key
from scripts.rotation.looking import Looking

NAME = "auth-signing"
KIND = "jwt"
DUE_DAYS = 80
"""Ten days before the guide's 90 (section 8.1), at which RAG_Key_Too_Old fires."""
MARGIN_S = 900
"""Supabase's advice: wait a token's life and 15 minutes before the old key goes."""
NEEDED = (
    *("AUTH_URL", "AUTH_SERVICE_KEY", "GATEWAY_URL", "JWT_KEYS_FILE", "JWT_ISSUER"),
    "KEY_REGISTER",
)
READS = (*NEEDED, "JWT_AUDIENCE", "JWT_KEYS_APPLY_CMD", "GATEWAY_URLS", "GATEWAY_KEY_PROBE_PATH")


@dataclass
class State:
    """How far a rotation is; moments are ISO 8601 and empty until they come."""

    old: str
    new: str
    made: str
    published: str = ""
    switched: str = ""
    retire_at: str = ""

    @property
    def phase(self) -> str:
        """``publish``, ``switch`` or ``retire``: what comes next."""
        if not self.published:
            return "publish"
        return "retire" if self.switched else "switch"


def _arguments() -> Any:
    made = parser("rotate_signing_key.sh", __doc__ or "", READS)
    made.add_argument("--now", action="store_true", help="rotate although the key is not due")
    made.add_argument(
        "--due-days", type=int, default=DUE_DAYS, metavar="N",
        help=f"age at which a key is rotated (default {DUE_DAYS}; the alert comes at 90)",
    )  # fmt: skip
    made.add_argument("--dry-run", action="store_true", help="change nothing, say what comes next")
    made.add_argument("--status", action="store_true", help="change nothing, say how it stands")
    made.add_argument(
        "--compromised", metavar="KID",
        help="this key is known to others: it goes at once, and its tokens with it",
    )  # fmt: skip
    made.add_argument(
        "--wait", action="store_true",
        help="wait until the old key can go; else another run takes it away when that is due",
    )  # fmt: skip
    made.add_argument(
        "--settle-s", type=float, metavar="S",
        help="wait between publishing and signing, for verifiers that are not named (default: what "
        "the published keys say of how long they may be kept)",
    )  # fmt: skip
    made.add_argument(
        "--margin-s", type=float, default=MARGIN_S, metavar="S",
        help=f"keep the old key for longer than its last token lives (default {MARGIN_S})",
    )  # fmt: skip
    return made


class Rotation:
    """One run of the script."""

    def __init__(self, task: Task) -> None:
        environment = task.environment
        self._chosen, self._log, self._told = task.arguments, task.log, task.told
        self._file = Path(environment["JWT_KEYS_FILE"])
        self._state_file = self._file.with_name(f"{self._file.name}.rotation")
        self._register = Register(Path(environment["KEY_REGISTER"]))
        self._command = environment["JWT_KEYS_APPLY_CMD"]
        self.looking = Looking(environment)

    # --- how it stands ------------------------------------------------------------------------

    def state(self, keys: KeySet) -> State | None:
        """Return the rotation under way, if the file of keys still is that rotation's."""
        if not self._state_file.exists():
            return None
        document = read_json(self._state_file, "The state of the rotation")
        try:
            state = State(**document)
        except TypeError:
            raise UsageError(
                "The state of the rotation is none.",
                expected="what this script wrote",
                next_step=f"look at --status, then remove {self._state_file}",
            ) from None
        if keys.find(state.new) is None:
            # Killed before the new key was written, or somebody put other keys in its place.
            self._log.event("rotation_begun_anew", lost=state.new)
            return None
        return state

    def status(self) -> None:
        """Tell which keys there are, since when, and what comes next."""
        keys = KeySet.load(self._file)
        state, created = self.state(keys), self._register.created(NAME)
        self._told |= {
            "signs": keys.signer["kid"],
            "verify": [kid for kid in keys.kids if kid != keys.signer["kid"]],
            "published": self.looking.published(),
            "created": created.isoformat() if created else None,
            "age_days": round(self._age(created), 2) if created else None,
            "phase": state.phase if state else None,
            "retire_at": state.retire_at if state else None,
        }
        for name, value in self._told.items():
            self._log.say(f"{name}: {value}")

    @staticmethod
    def _age(created: datetime) -> float:
        return (datetime.now(UTC) - created).total_seconds() / 86_400

    def _due(self) -> bool:
        created = self._register.created(NAME)
        if created is None:
            self._log.warn("age_unknown", f"{NAME} is not in the register: it counts as due")
            return True
        return self._age(created) >= float(self._chosen.due_days)

    # --- the rotation -------------------------------------------------------------------------

    def run(self) -> None:
        """Do whatever comes next, as far as it can be done now."""
        keys = KeySet.load(self._file)
        state = self.state(keys)
        if state is None and not self._chosen.now and not self._due():
            self._told |= {"phase": None, "rotated": False}
            self._log.say("the key is not due; --now rotates it all the same")
            return
        comes = state.phase if state else "publish"
        if self._chosen.dry_run:
            self._told |= {"phase": comes, "would": comes, "old": keys.signer["kid"]}
            self._log.say(f"comes next: {comes}; nothing was changed")
            return
        if state is None or comes == "publish":
            state = self._publish(keys, state)
        if not state.switched:
            state = self._switch(state)
        self._retire(state)

    def _publish(self, keys: KeySet, state: State | None) -> State:
        with self._log.step("publish", old=keys.signer["kid"]) as told:
            # An issuer or a path that is wrong would make every later look a false one.
            self.looking.wait_known(keys.signer, known=True)
            if state is None:
                key = new_key()
                state = State(str(keys.signer["kid"]), str(key["kid"]), _now())
                self._keep(state)
                keys = keys.with_key(key)
                keys.save(self._file)
            told["new"] = state.new
            self._apply(keys)
            self.looking.wait_published(with_kids=[state.old, state.new])
            key = keys.find(state.new) or {}
            self.looking.wait_known(key, known=True)
            settle = self._chosen.settle_s
            self._sleep(self.looking.max_age_s() if settle is None else settle, "verifiers")
            state.published = _now()
            self._keep(state)
            self._audit("published", state)
        return state

    def _switch(self, state: State) -> State:
        with self._log.step("switch", old=state.old, new=state.new) as told:
            before = KeySet.load(self._file)
            after = before.signing_with(state.new)
            after.save(self._file)
            try:
                self._apply(after)
                signed = self.looking.wait_signing(state.new)
                old = after.find(state.old)
                if old is not None:
                    self.looking.wait_known(old, known=True)
            except HarnessError:
                # The old key signs again: what was in force before is known to work.
                before.signing_with(state.old).save(self._file)
                with contextlib.suppress(HarnessError):
                    self._apply(before)
                raise
            self._register.record(NAME, KIND, datetime.fromisoformat(state.made))
            lasts = timedelta(seconds=signed.life_s + float(self._chosen.margin_s))
            state.switched = _now()
            state.retire_at = (datetime.now(UTC) + lasts).isoformat(timespec="milliseconds")
            told |= {"retire_at": state.retire_at, "token_life_s": signed.life_s}
            self._keep(state)
            self._audit("switched", state)
        return state

    def _retire(self, state: State) -> None:
        left = (datetime.fromisoformat(state.retire_at) - datetime.now(UTC)).total_seconds()
        if left > 0 and not self._chosen.wait:
            self._told |= {"phase": "retire", "rotated": True, "retire_at": state.retire_at}
            self._log.say(f"{state.new} signs; {state.old} goes after {state.retire_at}: run again")
            return
        self._sleep(left, "the last old token to end")
        with self._log.step("retire", old=state.old):
            keys = KeySet.load(self._file)
            old = keys.find(state.old)
            if old is not None:
                keys = keys.without(state.old)
                keys.save(self._file)
            self._apply(keys)
            self.looking.wait_published(with_kids=[state.new], without=[state.old])
            if old is not None:
                self.looking.wait_known(old, known=False)
            self._audit("retired", state)
            self._state_file.unlink(missing_ok=True)
        self._told |= {"phase": None, "rotated": True, "signs": state.new}

    # --- a key that others know ---------------------------------------------------------------

    def revoke(self, kid: str) -> None:
        """Take a key away at once. Where it signs, a new one takes its place in the same step."""
        keys = KeySet.load(self._file)
        old = keys.find(kid)
        if old is None:
            if kid in self.looking.published():
                raise Refused(
                    f"The key {kid} is published, but not in JWT_KEYS_FILE.",
                    expected=", ".join(keys.kids),
                    actual=kid,
                    next_step="is this the file that the auth service reads?",
                )
            self._told |= {"revoked": kid, "signs": keys.signer["kid"], "already": True}
            self._log.say(f"{kid} is neither in the file nor published: nothing to do")
            return
        if self._chosen.dry_run:
            self._told |= {"would": "revoke", "revoked": None}
            self._log.say(f"{kid} would go at once; nothing was changed")
            return
        with self._log.step("revoke", old=kid) as told:
            made = None
            if keys.signer["kid"] == kid:
                # A key of its own, not one that verifies: that one may have been seen as well.
                key, made = new_key(), datetime.now(UTC)
                keys = keys.with_key(key).signing_with(str(key["kid"])).without(kid)
            else:
                keys = keys.without(kid)
            signer = str(keys.signer["kid"])
            keys.save(self._file)
            self._apply(keys)
            self.looking.wait_published(with_kids=[signer], without=[kid])
            self.looking.wait_known(keys.signer, known=True)
            self.looking.wait_known(old, known=False)
            if made is not None:
                self._register.record(NAME, KIND, made)
                self._state_file.unlink(missing_ok=True)
            told["signs"] = signer
            audit(self._file, what="revoked", old=kid, signs=signer, by=_user())
        self._told |= {"revoked": kid, "signs": signer}

    # --- how ----------------------------------------------------------------------------------

    def _apply(self, keys: KeySet) -> None:
        """Put the file into force, where the auth service does not watch it."""
        if self._command:
            # Of the keys the command gets what the service's own variable takes.
            settings = {"GOTRUE_JWT_KEYS": json.dumps(keys.keys)}
            run_command(self._command, "JWT_KEYS_APPLY_CMD", settings)

    def _keep(self, state: State) -> None:
        write(self._state_file, json.dumps(asdict(state), indent=1) + "\n")

    def _audit(self, what: str, state: State) -> None:
        audit(self._file, what=what, old=state.old, new=state.new, by=_user())

    def _sleep(self, seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._log.progress(f"waits another {left:.0f} s for {what}", every_s=30)
            time.sleep(min(left, 1.0))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _check(task: Task) -> None:
    chosen, log = task.arguments, task.log
    for name in ("settle_s", "margin_s"):
        held = getattr(chosen, name)
        if held is not None and not 0 <= held <= 86_400 * 30:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is no time to wait.", expected="0 or more", actual=held)
    if chosen.due_days < 0:
        raise UsageError("--due-days is no age.", expected="0 or more", actual=chosen.due_days)
    if float(chosen.margin_s) < MARGIN_S:
        _warn_short(log, chosen.margin_s)


def _warn_short(log: Log, margin_s: float) -> None:
    log.warn(
        "margin_short",
        f"the old key goes {margin_s:.0f} s after its last token's end: clocks that are further "
        "apart will refuse tokens that still live",
    )


def _work(task: Task) -> None:
    _check(task)
    rotation = Rotation(task)
    if task.arguments.status:
        rotation.status()
        return
    with alone(Path(task.environment["JWT_KEYS_FILE"])):
        if task.arguments.compromised:
            rotation.revoke(task.arguments.compromised)
        else:
            rotation.run()


def run(argv: Sequence[str] | None = None) -> int:
    """Rotate; returns the exit code."""
    return main("rotate_signing_key.sh", _arguments(), NEEDED, _work, argv)
