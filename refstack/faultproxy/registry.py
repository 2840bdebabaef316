"""The proxies of a server, and the calls that concern more than one of them.

Names are looked up before anything changes; each change itself happens without a pause, so
calls never see each other's halves and never wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refstack.faultproxy.address import AddressError, Endpoint, resolve
from refstack.faultproxy.body import Fields, kind
from refstack.faultproxy.errors import (
    ApiError,
    bad_body,
    cannot_listen,
    missing_field,
    proxy_exists,
    proxy_not_found,
)
from refstack.faultproxy.proxy import Proxy, Surroundings

Where = Endpoint | AddressError


@dataclass(frozen=True)
class Wanted:
    """A proxy as a request asks for it."""

    name: str
    listen: str
    upstream: str
    enabled: bool


@dataclass(frozen=True)
class Populated:
    """What a populate call did: the proxies that were applied, and what stopped it, if anything."""

    proxies: list[Proxy] | None
    error: ApiError | None = None


class Registry:
    """Every proxy by name."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._proxies: dict[str, Proxy] = {}

    def all(self) -> list[Proxy]:
        """Every proxy, by name."""
        return [proxy for _, proxy in sorted(self._proxies.items())]

    def get(self, name: str) -> Proxy:
        """The proxy of that name; raises `ApiError` 404."""
        try:
            return self._proxies[name]
        except KeyError:
            raise proxy_not_found() from None

    async def create(self, body: Any) -> Proxy:
        """Add a proxy; raises `ApiError` 400, 409 for a taken name, 500 for a taken address."""
        wanted = _wanted(Fields(body, "a proxy"), "")
        where = await _look_up(wanted.listen)
        if wanted.name in self._proxies:
            raise proxy_exists()
        return self._add(wanted, where)

    async def update(self, name: str, body: Any) -> Proxy:
        """Change listen, upstream and enabled of a proxy.

        Another address or upstream drops its connections and keeps its toxics.
        """
        proxy = self.get(name)
        members = Fields(body, "a proxy")
        members.text("name")
        listen = members.text("listen", proxy.listen)
        upstream = members.text("upstream", proxy.upstream)
        enabled = members.flag("enabled", proxy.enabled)
        where = await _look_up(listen)
        if isinstance(where, AddressError):
            raise cannot_listen(str(where))
        if self.get(name) is not proxy:
            raise proxy_not_found()
        if _differs(proxy, where, upstream):
            proxy.stop()
            proxy.listen, proxy.upstream = listen, upstream
        if enabled and not proxy.enabled:
            proxy.start(where)
        elif not enabled:
            proxy.stop()
        return proxy

    def remove(self, name: str) -> None:
        """Stop a proxy and forget it."""
        self.get(name).stop()
        del self._proxies[name]

    async def populate(self, body: Any) -> Populated:
        """Make proxies what a list says they are; those that it leaves out stay.

        Everything is checked before anything is done. A failure midway leaves the earlier ones.
        """
        if body is not None and not isinstance(body, list):
            raise bad_body(f"expected a list of proxies, got {kind(body)}")
        entries = [
            _wanted(Fields(entry, f"proxy {number}"), f" at proxy {number}")
            for number, entry in enumerate(body or [], 1)
        ]
        places = [await _look_up(entry.listen) for entry in entries]
        done: list[Proxy] = []
        try:
            for entry, where in zip(entries, places, strict=True):
                done.append(self._add_or_replace(entry, where))
        except ApiError as error:
            return Populated(done, error)
        return Populated(done)

    async def reset(self) -> None:
        """Enable every proxy and remove every toxic; raises `ApiError` 500 partway."""
        places: dict[str, Where] = {}
        # Another call may change an address while a name is looked up: go on until all are known.
        while unknown := {p.listen for p in self.all() if not p.enabled} - places.keys():
            for listen in unknown:
                places[listen] = await _look_up(listen)
        for proxy in self.all():
            if not proxy.enabled:
                proxy.start(places[proxy.listen])
            proxy.remove_toxics()

    def stop(self) -> None:
        """Stop every proxy: the server ends."""
        for proxy in self.all():
            proxy.stop()

    def _add(self, wanted: Wanted, where: Where) -> Proxy:
        proxy = Proxy(self._around, wanted.name, wanted.listen, wanted.upstream)
        if wanted.enabled:
            proxy.start(where)
        self._proxies[proxy.name] = proxy
        return proxy

    def _add_or_replace(self, wanted: Wanted, where: Where) -> Proxy:
        existing = self._proxies.get(wanted.name)
        if existing is not None:
            if isinstance(where, AddressError):
                raise cannot_listen(str(where))
            if not _differs(existing, where, wanted.upstream):
                return existing
            existing.stop()
        return self._add(wanted, where)


def _wanted(members: Fields, suffix: str) -> Wanted:
    wanted = Wanted(
        members.text("name"),
        members.text("listen"),
        members.text("upstream"),
        members.flag("enabled", True),
    )
    if not wanted.name:
        raise missing_field(f"name{suffix}")
    if not wanted.upstream:
        raise missing_field(f"upstream{suffix}")
    return wanted


async def _look_up(listen: str) -> Where:
    try:
        return (await resolve(listen))[0]
    except AddressError as error:
        return error


def _differs(proxy: Proxy, where: Endpoint, upstream: str) -> bool:
    # A running proxy shows the address that it is bound to; port 0 is therefore always another.
    return proxy.listen != str(where) or proxy.upstream != upstream
