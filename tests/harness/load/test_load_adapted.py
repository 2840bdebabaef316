"""Load on a gateway of another API: what the adapter says of an answer is what is counted."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.adapters import load_api
from harness.core.errors import NotAllowed
from harness.core.gateway_api import REFERENCE, Query
from harness.load.plan import LoadPlan, Request
from harness.load.runner import run_load

SPACES = Path(__file__).resolve().parents[3] / "docs" / "examples" / "spaces" / "adapter.py"
HIT = {"key": "d1", "space": "open", "body": "text", "about": {}, "rank": 1.0}
ANSWERS = {
    "/space/open": json.dumps({"ok": True, "hits": [HIT], "without": ["the order"]}),
    "/space/shut": json.dumps({"ok": False, "code": "later"}),
    "/space/odd": "<html>200, and no word of the API</html>",
}


class Spaces(http.server.BaseHTTPRequestHandler):
    """Answers everything with 200, as the API does, and keeps who asked."""

    protocol_version = "HTTP/1.1"
    passes: set[str]

    def do_SEARCH(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.passes.add(self.headers.get("X-Pass", ""))
        body = ANSWERS[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Spaces.passes = set()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Spaces)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_refusal_or_nonsense_in_a_200_is_no_success(url: str, tmp_path: Path) -> None:
    api = load_api(str(SPACES))
    requests = [
        Request.of(api, Query("who?", space), token="acme", key=space)
        for space in ("open", "shut", "odd")
    ]
    plan = LoadPlan(
        url,
        requests,
        rate=60,
        duration_s=0.5,
        arrivals="uniform",
        order="cycle",
        # The machine that runs these tests may be busy.
        max_lateness_s=20.0,
        timeout_s=30.0,
        adapter=api.spec,
        extract={"ids": "results.*.document_id", "degraded": "degraded.*"},
    )
    samples = run_load(plan, tmp_path / "load", secrets={"acme": "secret-pass"}).samples
    assert len(samples) == 30 and Spaces.passes == {"secret-pass"}
    rows = zip(samples.key, samples.ok, samples.status, samples.error, strict=True)
    assert {(key, bool(ok), int(status), error) for key, ok, status, error in rows} == {
        ("open", True, 200, None),
        ("shut", False, 503, None),
        ("odd", False, 0, "unreadable"),
    }
    told = [each for each, key in zip(samples.extract, samples.key, strict=True) if key == "open"]
    assert told[0] == {"ids": ["d1"], "degraded": ["the order"]}


def test_a_request_of_the_reference_api_carries_no_adapter() -> None:
    request = Request.of(REFERENCE, Query("who?", "work"), token="acme")
    assert (request.method, request.path, request.operation) == ("POST", "/v1/query", None)
    assert request.headers == {"Authorization": "Bearer {token:acme}"}


def test_what_the_api_lacks_is_no_load(url: str) -> None:
    api = load_api(str(SPACES))
    with pytest.raises(NotAllowed, match="no filter"):
        Request.of(api, Query("who?", "work", filter={"lang": "de"}), token="acme")
