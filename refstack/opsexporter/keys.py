"""How old keys are, how long certificates last, and who takes connections."""

from __future__ import annotations

import json
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from refstack.opsexporter.families import Sample

TIMEOUT_S = 3.0
KINDS = ("jwt", "api")


class Keys:
    """The register of keys in use: a JSON file that whoever makes or rotates a key keeps.

    ``{"keys": [{"key": "auth-signing", "kind": "jwt", "created": "2026-05-09T08:00:00Z"}]}``. It
    holds names and moments, never a key. It is read anew each time.
    """

    name = "keys"

    def __init__(self, register: Path) -> None:
        self._register = register

    def read(self) -> list[Sample]:
        """Raises OSError, ValueError or KeyError for what is no register."""
        return [
            Sample(
                "rag_key_created_timestamp_seconds",
                _moment(entry["created"]),
                (str(entry["key"]), _kind(entry["kind"])),
            )
            for entry in json.loads(self._register.read_text())["keys"]
        ]

    def close(self) -> None:
        """Nothing stays open."""


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} does not say which time zone it is in")
    return moment.timestamp()


def _kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError(f"the kind of a key is {' or '.join(KINDS)}, not {text!r}")
    return text


class Certificates:
    """The certificates that TLS servers really show; trust is not judged, only the date."""

    name = "certificates"

    def __init__(self, servers: dict[str, tuple[str, int]]) -> None:
        self._servers = servers

    def read(self) -> list[Sample]:
        """Raises OSError for a server that does not answer in TLS."""
        return [
            Sample("rag_certificate_not_after_timestamp_seconds", _until(*address), (name,))
            for name, address in self._servers.items()
        ]

    def close(self) -> None:
        """Nothing stays open."""


def _until(host: str, port: int) -> float:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=TIMEOUT_S) as raw,
        context.wrap_socket(raw, server_hostname=host) as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    if shown is None:
        raise ValueError(f"{host}:{port} showed no certificate")
    return x509.load_der_x509_certificate(shown).not_valid_after_utc.astimezone(UTC).timestamp()


class Probes:
    """Whether the roles that have no metrics of their own take connections."""

    name = "probes"

    def __init__(self, addresses: dict[str, tuple[str, int]]) -> None:
        self._addresses = addresses

    def read(self) -> list[Sample]:
        """Never raises: a role that takes no connection is a measured value."""
        return [
            Sample("rag_ops_probe_success", float(_answers(*address)), (role,))
            for role, address in self._addresses.items()
        ]

    def close(self) -> None:
        """Nothing stays open."""


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_S).close()
    except OSError:
        return False
    return True
