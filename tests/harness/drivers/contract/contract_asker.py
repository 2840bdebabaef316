"""A user of a stack: signs in, leaves one document, asks for it over fresh or kept connections."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from harness.drivers.base import Stack
from harness.drivers.gateway_http import Answer, AuthClient, ReferenceGateway

WAIT_S = 60.0
PASSWORD = "correct-horse-7"
TEXT = "The quick brown fox jumps over the lazy dog."


def eventually(check: Callable[[], bool]) -> bool:
    """Ask again and again until the answer is yes or ``WAIT_S`` are over; no answer is a no."""
    deadline = time.monotonic() + WAIT_S
    while True:
        with contextlib.suppress(httpx.HTTPError, OSError):
            if check():
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


class Asker:
    """Asks the gateway through the edge, over a fresh connection each time."""

    def __init__(self, stack: Stack, tenant: str, *, document: bool = True) -> None:
        self.url, self._stack, self._email = (
            stack.endpoint("edge").url,
            stack,
            f"{tenant}@x.example",
        )
        with contextlib.closing(self._auth()) as auth:
            auth.create_user(self._email, PASSWORD, tenant, ["work"])
        self.sign_in()
        if document:
            self.leave()

    def leave(self) -> None:
        """Leave the document, once more if it was lost."""
        with contextlib.closing(ReferenceGateway(self.url, self.token)) as gateway:
            gateway.put_document("work", TEXT, document_id="fox").expect(201)

    def _auth(self) -> AuthClient:
        key = self._stack.credentials("auth")["service_key"]
        return AuthClient(self._stack.endpoint("auth").url, key)

    def sign_in(self) -> None:
        """Take a new token; fails where the auth service can't look anybody up."""
        with contextlib.closing(self._auth()) as auth:
            self.token = auth.sign_in(self._email, PASSWORD)

    def query(self, text: str = "what does the fox do?", **more: str) -> Answer:
        """Ask once."""
        with contextlib.closing(ReferenceGateway(self.url, self.token)) as gateway:
            body = {"query": text, "persona": "work"}
            return gateway.request("POST", "/v1/query", json=body, headers=more)

    def answers(self) -> bool:
        """Whether the document is found."""
        answer = self.query()
        return answer.status == 200 and "lazy dog" in answer.text


@dataclass
class Told:
    """What a crowd was told while something went on: how often each status, from whom."""

    statuses: Counter[str] = field(default_factory=Counter)
    colours: Counter[str] = field(default_factory=Counter)

    def failed(self) -> dict[str, int]:
        """Everything but an answer."""
        return {name: count for name, count in self.statuses.items() if name != "200"}


@contextlib.contextmanager
def crowd(asker: Asker) -> Iterator[Told]:
    """Two users who ask without a pause, one over a kept connection, while the block runs."""
    told, over, lock = Told(), threading.Event(), threading.Lock()

    def ask(client: httpx.Client | None) -> None:
        while not over.is_set():
            colour = "none"
            try:
                body = {"query": "what does the fox do?", "persona": "work"}
                headers = {"Authorization": f"Bearer {asker.token}"}
                url = f"{asker.url}/v1/query"
                with contextlib.ExitStack() as stack:
                    one = client or stack.enter_context(httpx.Client(timeout=20, trust_env=False))
                    answer = one.post(url, json=body, headers=headers)
                status, colour = (
                    str(answer.status_code),
                    answer.headers.get("x-gateway-colour", "none"),
                )
            except httpx.HTTPError as error:
                status = f"{type(error).__name__}: {error}"
            with lock:
                told.statuses[status] += 1
                told.colours[colour] += 1

    with httpx.Client(timeout=20, trust_env=False) as kept:
        threads = [threading.Thread(target=ask, args=(each,)) for each in (None, kept)]
        for thread in threads:
            thread.start()
        try:
            yield told
        finally:
            over.set()
            for thread in threads:
                thread.join()
