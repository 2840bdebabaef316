"""Host and port texts, read, resolved and written the way Go's `net` package does."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

RESOLVE_TIMEOUT_S = 2.0
"""How long a host name may take to resolve; Toxiproxy waits for as long as its resolver does."""


class AddressError(ValueError):
    """An address that cannot be used; its text says which and why."""


@dataclass(frozen=True)
class Endpoint:
    """One resolved TCP address. An empty host stands for every local address."""

    host: str
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        """The socket family; an empty host is IPv6 where one socket can serve both."""
        if self.host:
            return socket.AF_INET6 if ":" in self.host else socket.AF_INET
        return socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def __str__(self) -> str:
        return join(self.host, self.port)


def join(host: str, port: int) -> str:
    """`host:port`, with brackets round an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(address: str) -> tuple[str, int]:
    """Host and port of a text. The empty text is every address and port 0.

    Raises `AddressError` for a text without a port, with stray brackets or a port outside
    0 to 65535; the port may be a service name.
    """
    if not address:
        return "", 0
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):
        raise AddressError(f"address {address}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(f"address {address}: too many colons in address")
    if "[" in host or "]" in host:
        raise AddressError(f"address {address}: unexpected bracket in address")
    return host, _port(address, port)


def _port(address: str, port: str) -> int:
    if not port:
        return 0
    if port.isascii() and port.isdigit():
        number = int(port)
        if number <= 65535:
            return number
        raise AddressError(f"address {port}: invalid port, expected 0 to 65535")
    try:
        return socket.getservbyname(port, "tcp")
    except OSError:
        raise AddressError(f"address {address}: unknown port {port!r}") from None


def literal(host: str) -> bool:
    """Whether a host is an IP address (or empty), so that nothing has to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return not host
    return True


async def resolve(address: str, timeout_s: float = RESOLVE_TIMEOUT_S) -> list[Endpoint]:
    """The endpoints of an address, IPv4 first, at least one.

    Raises `AddressError` for a bad text and for a name that cannot be looked up in `timeout_s`.
    """
    host, port = split(address)
    if literal(host):
        return [Endpoint(host, port)]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise AddressError(f"lookup {host}: no answer in {timeout_s:g} s") from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AddressError(f"lookup {host}: {reason}") from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return [Endpoint(str(entry[4][0]), port) for entry in found]
