"""The exporter measures at the source, and shows nothing that it does not know any more."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from refstack.opsexporter.audit import Audit
from refstack.opsexporter.bucket import Listed, complete, verdict
from refstack.opsexporter.families import FAMILIES, Sample
from refstack.opsexporter.keys import Certificates, Keys, Probes
from refstack.opsexporter.polling import Poller, Pollers


class Fickle:
    """A source that does what the test says."""

    name = "fickle"

    def __init__(self) -> None:
        self.answer: Any = [Sample("rag_metadata_chunks", 7)]
        self.gate = threading.Event()
        self.gate.set()

    def read(self) -> list[Sample]:
        self.gate.wait(5)
        if isinstance(self.answer, Exception):
            raise self.answer
        found: list[Sample] = self.answer
        return found

    def close(self) -> None:
        pass


@pytest.fixture
def fickle() -> Iterator[tuple[Fickle, Poller]]:
    source = Fickle()
    poller = Poller(source, 0.02)
    poller.start()
    yield source, poller
    source.gate.set()
    poller.stop()


def page(poller: Poller) -> str:
    registry = CollectorRegistry()
    registry.register(Pollers([poller]))
    return generate_latest(registry).decode()


def until(poller: Poller, text: str) -> str:
    deadline = time.monotonic() + 5
    while text not in (shown := page(poller)):
        assert time.monotonic() < deadline, shown
        time.sleep(0.02)
    return shown


def test_what_is_read_is_shown(fickle: tuple[Fickle, Poller]) -> None:
    shown = until(fickle[1], "rag_metadata_chunks 7.0")
    assert 'rag_ops_source_up{source="fickle"} 1.0' in shown


def test_what_cannot_be_read_any_more_is_not_shown(fickle: tuple[Fickle, Poller]) -> None:
    source, poller = fickle
    until(poller, "rag_metadata_chunks 7.0")
    source.answer = OSError("gone")
    shown = until(poller, 'rag_ops_source_up{source="fickle"} 0.0')
    assert "rag_metadata_chunks 7.0" not in shown
    source.answer = [Sample("rag_metadata_chunks", 8)]
    until(poller, "rag_metadata_chunks 8.0")


def test_a_source_that_hangs_is_not_believed_for_ever(
    fickle: tuple[Fickle, Poller], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, poller = fickle
    until(poller, "rag_metadata_chunks 7.0")
    monkeypatch.setattr(poller, "_patience", 0.1)
    source.gate.clear()
    assert "rag_metadata_chunks 7.0" not in until(poller, 'source="fickle"} 0.0')


def test_every_family_is_named_even_before_it_is_measured(fickle: tuple[Fickle, Poller]) -> None:
    shown = page(fickle[1])
    for family in FAMILIES.values():
        kind = "counter" if family.counter else "gauge"
        assert f"# TYPE {family.name} {kind}" in shown, family.name


MANIFEST = {
    "store": "vectordb",
    "ended_at": "2026-05-09T23:02:00+00:00",
    "objects": [{"key": "a/one.snapshot", "size": 5}],
}
ENDED = datetime(2026, 5, 9, 23, 2, tzinfo=UTC).timestamp()


def listing(**sizes: int) -> dict[str, Listed]:
    return {f"a/{name}.snapshot": Listed(f"a/{name}.snapshot", n, "e") for name, n in sizes.items()}


def test_a_backup_counts_when_all_that_it_names_is_there() -> None:
    assert complete(MANIFEST, "vectordb", listing(one=5)) == ENDED


@pytest.mark.parametrize(
    ("document", "objects"),
    [
        (MANIFEST, listing(two=5)),
        (MANIFEST, listing(one=4)),
        ({**MANIFEST, "store": "metadata"}, listing(one=5)),
        ({**MANIFEST, "objects": []}, listing(one=5)),
        ({**MANIFEST, "ended_at": "2026-05-09T23:02:00"}, listing(one=5)),
        ({}, listing(one=5)),
    ],
    ids=["missing", "truncated", "another store's", "empty", "of no time zone", "no manifest"],
)
def test_what_is_not_whole_is_no_backup(document: Any, objects: dict[str, Listed]) -> None:
    assert complete(document, "vectordb", objects) is None


def test_only_a_plain_yes_is_a_verified_backup() -> None:
    at = "2026-05-09T23:02:00Z"
    assert verdict({"ok": True, "at": at}) == (ENDED, True)
    assert verdict({"ok": "false", "at": at}) == (ENDED, False)
    assert verdict({"at": at}) is None


def test_the_age_of_keys_is_read_from_the_register(tmp_path: Path) -> None:
    register = tmp_path / "keys.json"
    entry = {"key": "openai", "kind": "api", "created": "2026-05-09T23:02:00Z"}
    register.write_text(json.dumps({"keys": [entry]}))
    assert Keys(register).read() == [
        Sample("rag_key_created_timestamp_seconds", ENDED, ("openai", "api"))
    ]
    register.write_text(json.dumps({"keys": [{**entry, "kind": "other"}]}))
    with pytest.raises(ValueError, match="jwt or api"):
        Keys(register).read()


def test_an_audit_that_was_never_made_found_nothing_and_says_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert Audit(report).read() == []
    report.write_text(json.dumps({"leaks": 4}))
    assert Audit(report).read()[0] == Sample("rag_leakage_findings", 4.0)


def test_while_an_audit_is_under_way_what_the_last_one_found_still_holds(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    audit = Audit(report)
    report.write_text(json.dumps({"leaks": 4}))
    found = audit.read()
    report.unlink()
    assert audit.read() == found
    report.write_text(json.dumps({"leaks": 0}))
    assert audit.read()[0] == Sample("rag_leakage_findings", 0.0)


def test_a_probe_tells_who_takes_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            source = Probes({"there": ("127.0.0.1", port), "gone": closed.getsockname()})
            assert {s.labels[0]: s.value for s in source.read()} == {"there": 1.0, "gone": 0.0}


def test_the_end_of_a_certificate_is_read_off_the_server(tmp_path: Path) -> None:
    import ssl

    until_when = datetime.now(UTC).replace(microsecond=0) + timedelta(days=20)
    self_signed(tmp_path, until_when)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, context.wrap_socket(connection, server_side=True):
                pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        (sample,) = Certificates({"edge": server.getsockname()}).read()
        thread.join(5)
    assert (sample.labels, sample.value) == (("edge",), until_when.timestamp())


def self_signed(directory: Path, until_when: datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(until_when)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({}, "EXPORTER_DATABASE_URL is not set"),
        ({"EXPORTER_PROBES": "edge:80"}, "EXPORTER_PROBES holds 'edge:80'"),
        ({"EXPORTER_DATABASE_URL": "mysql://x"}, "EXPORTER_DATABASE_URL"),
    ],
)
def test_a_bad_setting_ends_it_with_one_line(setting: dict[str, str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "refstack.opsexporter", "--port", "0"],
        env={"PATH": "/usr/bin:/bin", **setting},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert told in done.stderr and done.stderr.count("\n") == 1
