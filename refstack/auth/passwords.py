"""Passwords as scrypt hashes, worked out in one thread so that memory stays bounded."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
from concurrent.futures import ThreadPoolExecutor

# OWASP's password storage cheat sheet takes N=2^14, r=8, p=5 (16 MiB) for as good as N=2^17, p=1.
_N = 1 << 14
_R = 8
_MEMORY = 64 << 20
SHORTEST = 8
LONGEST = 1024


class Busy(Exception):
    """More passwords are waiting to be checked than the service takes."""


class Passwords:
    """Hashes and checks; `rounds` is scrypt's p, `most_waiting` bounds the queue."""

    def __init__(self, rounds: int, most_waiting: int = 64) -> None:
        self._rounds = rounds
        self._most_waiting = most_waiting
        self._waiting = 0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="scrypt")
        # An unknown account costs the same as a wrong password, so time tells no accounts.
        self._decoy = _encode(os.urandom(16), os.urandom(32), rounds)

    async def hash(self, password: str) -> str:
        """The text to store: `scrypt$n$r$p$salt$key`, the last two in Base64."""
        salt = os.urandom(16)
        key = await self._derive(password, salt, _N, _R, self._rounds)
        return _encode(salt, key, self._rounds)

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether the password is the stored one; None and the empty text match nothing."""
        _, n, r, p, salt, key = (stored or self._decoy).split("$")
        expected = base64.b64decode(key)
        actual = await self._derive(password, base64.b64decode(salt), int(n), int(r), int(p))
        return hmac.compare_digest(actual, expected) and bool(stored)

    async def _derive(self, password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
        if self._waiting >= self._most_waiting:
            raise Busy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, _scrypt, password.encode(), salt, n, r, p
            )
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Give up what waits."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _scrypt(password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)


def _encode(salt: bytes, key: bytes, rounds: int) -> str:
    parts = (base64.b64encode(salt).decode(), base64.b64encode(key).decode())
    return "$".join(("scrypt", str(_N), str(_R), str(rounds), *parts))
