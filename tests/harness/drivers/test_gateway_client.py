"""A client of a gateway of another API asks through the adapter and refuses what is not its own."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.canaries import Canaries
from fixtures.hostile import Hostile
from fixtures.tenants import Tenant
from harness.core.adapters import load_api
from harness.core.errors import HarnessError, NotAllowed, UsageError
from harness.core.target import TargetFile
from harness.drivers.base import Endpoint
from harness.drivers.gateway_http import GatewayClient
from harness.plugin.owner import StackOwner

ROOT = Path(__file__).resolve().parents[3]
SPACES = str(ROOT / "docs" / "examples" / "spaces" / "adapter.py")


class Spaces(http.server.BaseHTTPRequestHandler):
    """A gateway of the example's API with one note, ``d1``, for the pass ``good``."""

    def do_PICK(self) -> None:
        known = self.headers.get("X-Pass") == "good"
        told: dict[str, object] = {"ok": False, "code": "nothing" if known else "who"}
        if known and self.headers.get("X-Note") == "d1":
            told = {"ok": True, "space": "work", "body": "the text", "about": {}}
        self._say(json.dumps(told))

    def do_DROP(self) -> None:
        self._say("a page, and no word of the API")

    def _say(self, text: str) -> None:
        self.send_response(200)
        self.send_header("X-Note", self.headers.get("X-Note", ""))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Spaces)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(url: str) -> Iterator[GatewayClient]:
    made = GatewayClient(url, "good", timeout=60, api=load_api(SPACES))
    yield made
    made.close()


def test_an_answer_is_told_in_our_words_and_kept_as_it_came(client: GatewayClient) -> None:
    answer = client.get_document("d1")
    assert (answer.status, answer.json["text"], answer.json["persona"]) == (200, "the text", "work")
    assert '"body": "the text"' in answer.text and answer.method == "PICK"
    absent = client.get_document("d2")
    assert absent.status == 404 and absent.json == {"ok": False, "code": "nothing"}


def test_another_token_is_another_pass(url: str) -> None:
    for token in ("bad", None):
        stranger = GatewayClient(url, token, timeout=60, api=load_api(SPACES))
        assert stranger.get_document("d1").status == 401
        stranger.close()


def test_an_answer_that_is_no_word_of_the_api_is_no_verdict(client: GatewayClient) -> None:
    with pytest.raises(HarnessError, match="could not read"):
        client.delete_document("d1")


def test_no_connection_is_no_answer() -> None:
    gone = GatewayClient("http://127.0.0.1:9", "good", timeout=60, api=load_api(SPACES))
    assert gone.get_document("d1").status == 0
    gone.close()


def test_requests_of_the_reference_api_are_skipped_and_not_sent(client: GatewayClient) -> None:
    for ask in (
        lambda: client.request("POST", "/v1/query", json={}),
        lambda: client.query("who?", "work", headers={"X-Embed-Canary": "1"}),
        lambda: client.put_documents([{"persona": "work", "text": "one"}]),
        lambda: client.query("who?", "work", filter={"lang": "de"}),
    ):
        with pytest.raises(NotAllowed):
            ask()


def test_hostile_requests_are_not_made_to_an_api_that_they_are_not_about(
    client: GatewayClient,
) -> None:
    tenant = Tenant("hunter", ("work",), "user@hunter.example", "good")
    canaries = Canaries({"hunter": tenant}, [], {"hunter": client}, tenant, {})
    with pytest.raises(NotAllowed, match="byte by byte"):
        Hostile(canaries, Endpoint("edge", client.url, "127.0.0.1", 9))


def test_an_adapter_is_never_ignored_by_a_driver_that_has_no_use_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Booted:
        """A driver whose gateway is the reference gateway."""

        @classmethod
        def for_run(cls, *_: object) -> Booted:
            return cls()

        def up(self) -> None:
            raise AssertionError("it must not come to this")

    monkeypatch.setattr("harness.drivers.registry.driver", lambda _: Booted)
    role = {"url": "http://127.0.0.1:9", "adapter": SPACES}
    target = TargetFile.model_validate({"roles": {"gateway": role}})
    owner = StackOwner(target=target, driver="embedded", progress=print)

    class AnyRun:
        """A run, of which only the names are told."""

        target, driver = "t", "embedded"

    with pytest.raises(UsageError, match="needs no adapter"):
        owner.stack(AnyRun(), None)  # type: ignore[arg-type]
