"""A running Grafana is read as its manual has it, and what it refuses is told.

Asked here is a small server with answers of the manual's shape: no real Grafana runs in these
tests.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.core.errors import TargetError
from harness.drivers.grafana import Grafana, provisioning, shipped_dashboards

LOGIN = {"user": "admin", "password": "of this test"}
SHIPPED = json.loads(shipped_dashboards()["rag-ov.json"])
SOURCES = [
    {"uid": "other", "type": "loki", "isDefault": False},
    {"uid": "rag-prometheus", "type": "prometheus", "isDefault": True},
]


class Server(ThreadingHTTPServer):
    """Answers by path; ``health`` is what the data source's check says."""

    daemon_threads = True
    health: tuple[int, dict[str, str]] = (200, {"status": "OK"})
    sources = SOURCES


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(b"admin:of this test").decode()
        if self.headers.get("Authorization") not in (expected, "Bearer glsa_test"):
            return self._send(401, {"message": "Unauthorized"})
        if self.path == "/api/dashboards/uid/rag-ov":
            return self._send(200, {"dashboard": SHIPPED, "meta": {"provisioned": True}})
        if self.path == "/api/datasources":
            return self._send(200, self.server.sources)
        if self.path == "/api/datasources/uid/rag-prometheus/health":
            return self._send(*self.server.health)
        return self._send(404, {"message": "not found"})

    def _send(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        found.shutdown()
        thread.join(timeout=10)


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize("credentials", [LOGIN, {"token": "glsa_test"}], ids=["login", "token"])
def test_a_dashboard_comes_as_it_is_loaded(server: Server, credentials: dict[str, str]) -> None:
    grafana = Grafana(url(server), credentials)
    assert grafana.dashboard("rag-ov") == (SHIPPED, True)
    assert grafana.dashboard("never-loaded") is None
    grafana.close()


def test_the_default_source_says_whether_it_answers(server: Server) -> None:
    grafana = Grafana(url(server), LOGIN)
    assert grafana.default_source() == ("prometheus", "OK")
    server.health = (400, {"status": "ERROR", "message": "connection refused"})
    assert grafana.default_source() == ("prometheus", "ERROR")
    server.sources = SOURCES[:1]
    with pytest.raises(TargetError, match="no default data source"):
        grafana.default_source()
    grafana.close()


def test_a_refusal_is_told_with_what_to_give(server: Server) -> None:
    grafana = Grafana(url(server), {})
    with pytest.raises(TargetError, match="does not answer") as refused:
        grafana.dashboard("rag-ov")
    assert "401" in str(refused.value)
    grafana.close()


def test_what_is_provisioned_names_a_path_and_a_default_source() -> None:
    told = "\n".join(provisioning().values())
    assert "path: /etc/grafana/dashboards" in told and "isDefault: true" in told
