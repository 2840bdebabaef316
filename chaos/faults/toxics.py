"""The control side of link faults: a thin client of Toxiproxy's HTTP API with deadlines.

toxiproxy-python keeps its server in class globals, has no timeouts and swallows status 500
(facts of its 0.1.1), so a fault could fail to be switched off unseen; this client cannot.
"""

from __future__ import annotations

import time
from typing import Any

import httpx

from harness.core.errors import TargetError
from harness.drivers.base import Link, Links, Stack

_DEADLINE_S = 5.0


def link_of(stack: Stack, name: str) -> Link:
    """Return a link by name.

    Raises:
        TargetError: the target has no links, or none of this name.
    """
    if not isinstance(stack, Links):
        raise TargetError(
            "This target has no fault proxy on its links.",
            expected="a driver with links (embedded, containers or compose)",
            actual=stack.name,
        )
    for link in stack.links():
        if link.name == name:
            return link
    raise TargetError(
        f"There is no link {name!r}.",
        expected=", ".join(sorted(link.name for link in stack.links())),
        actual=name,
    )


class ToxicControl:
    """Adds and removes toxics and switches proxies on and off."""

    def __init__(self, stack: Stack) -> None:
        if not isinstance(stack, Links):
            raise TargetError("This target has no fault proxy on its links.", actual=stack.name)
        self._url = stack.faultproxy().rstrip("/")

    def add(self, link: str, name: str, kind: str, stream: str, attributes: dict[str, Any]) -> None:
        """Add a toxic to the link's proxy."""
        body = {"name": name, "type": kind, "stream": stream, "attributes": attributes}
        self._call("POST", f"/proxies/{link}/toxics", (200,), body)

    def remove(self, link: str, name: str) -> None:
        """Remove a toxic; one that is not there is no error."""
        self._call("DELETE", f"/proxies/{link}/toxics/{name}", (204, 404))

    def enable(self, link: str, enabled: bool) -> None:
        """Switch the link's proxy on or off.

        While it is off its port is free for anybody's outgoing connection. Such a one is waited
        for, up to five seconds, before the proxy's refusal to listen counts.
        """
        deadline = time.monotonic() + _DEADLINE_S
        body = {"enabled": enabled}
        while time.monotonic() < deadline:
            if self._call("POST", f"/proxies/{link}", (200, 500), body).is_success:
                return
            time.sleep(0.1)
        self._call("POST", f"/proxies/{link}", (200,), body)

    def has(self, link: str, name: str) -> bool:
        """Whether the link's proxy has a toxic of that name."""
        return self._call("GET", f"/proxies/{link}/toxics/{name}", (200, 404)).is_success

    def state(self) -> dict[str, Any]:
        """Return all proxies with their toxics."""
        found: dict[str, Any] = self._call("GET", "/proxies", (200,)).json()
        return found

    def _call(
        self, method: str, path: str, wanted: tuple[int, ...], body: dict[str, Any] | None = None
    ) -> httpx.Response:
        try:
            response = httpx.request(
                method, self._url + path, json=body, timeout=_DEADLINE_S, trust_env=False
            )
        except httpx.HTTPError as error:
            raise TargetError(
                "The fault proxy does not answer.",
                expected=f"{method} {path} within {_DEADLINE_S:.0f} s",
                actual=f"{type(error).__name__}: {error}",
            ) from error
        if response.status_code not in wanted:
            raise TargetError(
                "The fault proxy refused.",
                expected=f"{method} {path} with status {' or '.join(map(str, wanted))}",
                actual=f"{response.status_code}: {response.text[:300]}",
            )
        return response
