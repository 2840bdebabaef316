"""A gateway of a deliberately unlike API, to try its adapter on: a front of the reference gateway.

    python docs/examples/spaces/server.py --port 9000 --behind http://127.0.0.1:8080

It knows no tenant and decides nothing: it puts each request into the words of the gateway behind
it, with the caller's own pass, and the answer into its own. Every answer has status 200.
"""

from __future__ import annotations

import argparse
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import httpx

CODES = {401: "who", 403: "not-yours", 404: "nothing", 409: "taken", 422: "nonsense", 503: "later"}
LONGEST = 8 << 20


class Refused(Exception):
    """What can't be done; ``code`` is the API's word for why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Front(BaseHTTPRequestHandler):
    """One connection. ``behind`` is the gateway's URL, set by :func:`main`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    behind = ""
    _kept = threading.local()

    def do_SEARCH(self) -> None:
        """Look for words in a space, or in the way nearest to them."""
        self._answer(self._search)

    def do_PUT(self) -> None:
        """Put a note into a space."""
        self._answer(self._put)

    def do_PICK(self) -> None:
        """Read the note whose key is in the header."""
        self._answer(self._pick)

    def do_DROP(self) -> None:
        """Delete it."""
        self._answer(self._drop)

    def do_GET(self) -> None:
        """List notes, or say how it goes."""
        self._answer(self._alive if self.path == "/alive" else self._list)

    def log_message(self, *_: object) -> None:
        """Nothing: a path holds a space's name, and a header a note's key."""

    def _search(self) -> dict[str, Any]:
        asked, (space,) = self._body(), self._places("/space/", 1)
        told = self._ask(
            "POST",
            "/v1/query",
            json={
                "query": asked["words"],
                "persona": space,
                "top_k": asked["most"],
                "rerank": asked["order"] == "best",
            },
        )
        hits = [{**_note(row), "rank": row["score"]} for row in told["results"]]
        return {"hits": hits, "without": told["degraded"] or []}

    def _put(self) -> dict[str, Any]:
        given, (space, _) = self._body(), self._places("/space/", 2)
        row = {"persona": space, "text": given["body"], "metadata": given["about"]}
        key = self.headers.get("X-Note")
        told = self._ask("POST", "/v1/documents", json=row | ({"document_id": key} if key else {}))
        return {"_key": told["document_id"]}

    def _pick(self) -> dict[str, Any]:
        note = _note(self._ask("GET", f"/v1/documents/{self._key()}"))
        return {**note, "_key": note.pop("key")}

    def _drop(self) -> dict[str, Any]:
        self._ask("DELETE", f"/v1/documents/{self._key()}")
        return {"_key": self.headers["X-Note"]}

    def _list(self) -> dict[str, Any]:
        names = {"space": "persona", "size": "limit", "after": "cursor"}
        given = dict(parse_qsl(urlsplit(self.path).query))
        asked = {names.get(name, name): value for name, value in given.items()}
        told = self._ask("GET", "/v1/documents", params=asked)
        return {"notes": [_note(row) for row in told["documents"]], "more": told["next_cursor"]}

    def _alive(self) -> dict[str, Any]:
        self._ask("GET", "/readyz")
        return {"release": "3.1"}

    def _key(self) -> str:
        key = self.headers.get("X-Note")
        if not key:
            raise Refused("nonsense")
        return quote(key, safe="")

    def _places(self, root: str, count: int) -> list[str]:
        path = urlsplit(self.path).path
        parts = [unquote(each) for each in path.removeprefix(root).split("/")]
        if not path.startswith(root) or len(parts) != count:
            raise Refused("nonsense")
        return parts

    def _body(self) -> dict[str, Any]:
        size = int(self.headers.get("Content-Length", 0))
        if size > LONGEST:
            self.close_connection = True
            raise Refused("nonsense")
        return dict(json.loads(self.rfile.read(size)))

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Ask the gateway behind, over one connection of this thread."""
        client = getattr(self._kept, "client", None)
        if client is None:
            client = self._kept.client = httpx.Client(
                base_url=self.behind, timeout=30, trust_env=False
            )
        given = self.headers.get("X-Pass")
        headers = {"Authorization": f"Bearer {given}"} if given else {}
        try:
            answer = client.request(method, path, headers=headers, **more)
        except httpx.HTTPError:
            raise Refused("later") from None
        if answer.status_code >= 400:
            raise Refused(CODES.get(answer.status_code, "broken"))
        return dict(answer.json()) if answer.content else {}

    def _answer(self, act: Any) -> None:
        try:
            told = {"ok": True, **act()}
        except Refused as refusal:
            told = {"ok": False, "code": refusal.code}
        except (LookupError, TypeError, ValueError):
            told = {"ok": False, "code": "nonsense"}
        key = told.pop("_key", None)
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Ticket", secrets.token_hex(8))
        if key is not None:
            self.send_header("X-Note", key)
        self.end_headers()
        self.wfile.write(body)


class Listening(ThreadingHTTPServer):
    """A server with room for as many callers at once as a load test sends."""

    request_queue_size = 128
    daemon_threads = True


def _note(row: dict[str, Any]) -> dict[str, Any]:
    """Return a note; in a list it has no body, as a row behind it has no text."""
    names = {"document_id": "key", "persona": "space", "text": "body", "metadata": "about"}
    return {theirs: row[ours] for ours, theirs in names.items() if ours in row}


def main() -> None:
    """Serve until the process is ended; prints the address once it listens."""
    parser = argparse.ArgumentParser(description="A gateway whose API is like no other.")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--behind", required=True, help="URL of the gateway to stand in front of")
    options = parser.parse_args()
    Front.behind = options.behind
    with Listening((options.host, options.port), Front) as server:
        print(f"http://{options.host}:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
