"""What the auth service and the gateways really do with a key, seen through their own doors."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from harness.core.errors import TargetError
from scripts.dayops.environment import Environment
from scripts.rotation.keyset import Key, new_key, probe

PATIENCE_S = 60.0
EVERY_S = 0.2
TIMEOUT_S = 10.0
_MAX_AGE = re.compile(r"max-age=(\d{1,6})")


@dataclass(frozen=True)
class SignedIn:
    """A token that the auth service made: the id of its key, and the seconds that it lives."""

    kid: str
    life_s: int
    token: str


class Looking:
    """Asks over HTTP; changes nothing but an account of its own that it removes again."""

    def __init__(self, environment: Environment) -> None:
        self._auth = environment["AUTH_URL"]
        self._service_key = environment["AUTH_SERVICE_KEY"]
        self._issuer = environment["JWT_ISSUER"]
        self._audience = environment["JWT_AUDIENCE"]
        self._path = environment["GATEWAY_KEY_PROBE_PATH"]
        urls = environment["GATEWAY_URLS"] or environment["GATEWAY_URL"]
        self.gateways = [url.strip().rstrip("/") for url in urls.split(",") if url.strip()]
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def published(self) -> list[str]:
        """Return the ids of the keys that the auth service publishes. Raises TargetError."""
        answer = self._ask("GET", "/.well-known/jwks.json")
        return sorted(str(key["kid"]) for key in answer.json()["keys"])

    def max_age_s(self) -> int:
        """Return for how long whoever fetched the published keys may go on with them."""
        answer = self._ask("GET", "/.well-known/jwks.json")
        found = _MAX_AGE.search(answer.headers.get("cache-control", ""))
        return int(found[1]) if found else 0

    def wait_published(self, *, with_kids: Sequence[str], without: Sequence[str] = ()) -> None:
        """Wait until the auth service publishes these keys, and those no more."""
        self._wait(
            lambda: self._differs(with_kids, without),
            f"the auth service to publish {', '.join(with_kids)}",
        )

    def _differs(self, with_kids: Sequence[str], without: Sequence[str]) -> str | None:
        there = self.published()
        fits = set(with_kids) <= set(there) and not set(without) & set(there)
        return None if fits else f"it publishes {', '.join(there)}"

    def wait_known(self, key: Key, *, known: bool) -> None:
        """Wait until every gateway takes what this key signed, or until every one refuses it.

        A gateway that knows the key answers 403, because the token names no tenant; one that
        does not answers 401.
        """
        token = probe(key, self._issuer, self._audience)
        wanted = 403 if known else 401
        for url in self.gateways:
            self._wait(
                lambda url=url: self._other_than(url, token, wanted),  # type: ignore[misc]
                f"{url} to {'take' if known else 'refuse'} tokens of the key {key['kid']}",
            )

    def _other_than(self, url: str, token: str, wanted: int) -> str | None:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            status = self._client.get(url + self._path, headers=headers).status_code
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        # Another answer than these two is the path's own, which the token has reached.
        seen = 403 if status not in (401, 403) and status < 500 else status
        if wanted == 401 and seen == 403:
            self._nudge(url)
        return None if seen == wanted else f"it answers {status}"

    def _nudge(self, url: str) -> None:
        """Show a token of a key that nobody published: whoever fetches the keys anew for that
        forgets at once what was withdrawn, and not only when its time has come."""
        stranger = probe(new_key(), self._issuer, self._audience)
        with contextlib.suppress(httpx.HTTPError):
            self._client.get(url + self._path, headers={"Authorization": f"Bearer {stranger}"})

    def wait_signing(self, kid: str) -> SignedIn:
        """Wait until a sign-in gives a token of this key; returns the last one."""
        last: list[SignedIn] = []

        def differs() -> str | None:
            last[:] = [self.sign_in()]
            return None if last[0].kid == kid else f"it signs with {last[0].kid}"

        self._wait(differs, f"the auth service to sign with {kid}")
        return last[0]

    def sign_in(self) -> SignedIn:
        """Sign in as an account made for that, which gives access to nothing and is removed."""
        email = f"rotation-{secrets.token_hex(8)}@probe.invalid"
        password = secrets.token_urlsafe(24)
        admin = {"Authorization": f"Bearer {self._service_key}"}
        account = {"email": email, "password": password, "email_confirm": True}
        made = self._ask("POST", "/admin/users", json=account, headers=admin).json()
        try:
            answer = self._ask(
                "POST", "/token?grant_type=password", json={"email": email, "password": password}
            ).json()
        finally:
            self._ask("DELETE", f"/admin/users/{made['id']}", headers=admin)
        token = str(answer["access_token"])
        return SignedIn(kid_of(token), int(answer["expires_in"]), token)

    def _ask(self, method: str, path: str, **more: object) -> httpx.Response:
        try:
            answer = self._client.request(method, self._auth + path, **more)  # type: ignore[arg-type]
            answer.raise_for_status()
            answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise TargetError(
                f"The auth service does not do {method} {path.split('?')[0]}.",
                expected="an answer of AUTH_URL",
                actual=f"{type(error).__name__}: {error}".splitlines()[0],
                next_step="check AUTH_URL and AUTH_SERVICE_KEY, and run this again",
            ) from error
        return answer

    @staticmethod
    def _wait(differs: Callable[[], str | None], what: str) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                found = differs()
            except TargetError as error:
                # Where a command restarts the service, it does not answer for a moment.
                found = f"{error.what} {error.actual}"
            if found is None:
                return
            if time.monotonic() > give_up:
                raise TargetError(
                    f"Waited {PATIENCE_S:.0f} s for {what}.", expected=what, actual=found,
                    next_step="see what it still has; then run this again: it goes on from here",
                )  # fmt: skip
            time.sleep(EVERY_S)


def kid_of(token: str) -> str:
    """Return the id of the key that a token says it was signed with."""
    head = token.split(".", 1)[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))).get("kid"))
