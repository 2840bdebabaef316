"""The signing keys from a file that is followed: a rotation takes effect with no restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refstack.auth.keys import KeyRing
from refstack.common.logs import get_logger
from refstack.common.settings import SettingError

FILE = "GOTRUE_JWT_KEYS_FILE"
EVERY_S = 0.5
"""Seconds between two looks at the file."""

Read = Callable[[str], KeyRing]
"""Makes a ring of the text of GOTRUE_JWT_KEYS or of the file; raises `SettingError`."""


class FollowedKeys:
    """A key ring that is the file's while there is one, and the setting's while there is none.

    Signs and verifies as `KeyRing` does. A file that cannot be used changes nothing: what was in
    force goes on. At the start there is nothing to go on with, and it is refused.
    """

    def __init__(self, setting: str, file: Path | None, read: Read) -> None:
        self._file, self._read = file, read
        self._setting = read(setting)
        self._ring = self._setting
        self._held: bytes | None = None
        self.failures = 0
        held = self._look()
        if held is not None:
            self._take(held)

    @property
    def jwks(self) -> dict[str, Any]:
        """What of the keys is public."""
        return self._ring.jwks

    @property
    def signing_kid(self) -> str:
        """The id of the key that signs."""
        return self._ring.signing_kid

    def sign(self, claims: dict[str, Any]) -> str:
        """As `KeyRing.sign`."""
        return self._ring.sign(claims)

    def verify(self, token: str) -> dict[str, Any]:
        """As `KeyRing.verify`."""
        return self._ring.verify(token)

    async def follow(self) -> None:
        """Look at the file again and again, until cancelled."""
        while self._file is not None:
            await asyncio.sleep(EVERY_S)
            self.reload()

    def reload(self) -> bool:
        """Look at the file once; whether other keys are in force now."""
        try:
            held = self._look()
        except SettingError as error:
            self._refuse(error)
            return False
        if held == self._held:
            return False
        try:
            self._take(held)
        except SettingError as error:
            # Not again until it changes: one bad file is one line in the log.
            self._held = held
            self._refuse(error)
            return False
        get_logger().info("keys_reloaded", kid=self.signing_kid, public=len(self.jwks["keys"]))
        return True

    def _look(self) -> bytes | None:
        if self._file is None:
            return None
        try:
            return self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SettingError(
                FILE, str(self._file), f"a file that can be read ({type(error).__name__})"
            ) from None

    def _take(self, held: bytes | None) -> None:
        ring = self._setting if held is None else self._read(held.decode("utf-8", "replace"))
        self._ring, self._held = ring, held

    def _refuse(self, error: SettingError) -> None:
        self.failures += 1
        get_logger().error("keys_not_reloaded", reason=str(error), kid=self.signing_kid)
