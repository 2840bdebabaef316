"""The HTTP API, black box: routes, statuses, bodies and errors of Toxiproxy 2.12."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faultproxy_lab import Control, Echo, Proxy, refusing_address

TEXT = "text/plain; charset=utf-8"


@pytest.fixture
def name(control: Control) -> Iterator[Callable[[str], str]]:
    """Makes proxy names that are unique, and removes what was created under them."""
    prefix = f"api-{uuid.uuid4().hex[:8]}"
    yield lambda suffix: f"{prefix}-{suffix}"
    for made in control.ok("GET", "/proxies"):
        if made.startswith(prefix):
            control.call("DELETE", f"/proxies/{made}")


def error(control: Control, method: str, path: str, body: Any = None) -> tuple[int, str]:
    """Status and text of an error, whose shape is checked."""
    answer = control.call(method, path, body)
    assert answer.headers["content-type"] == TEXT
    assert answer.text.endswith("}\n")
    shown = answer.json()
    assert set(shown) == {"error", "status"}
    assert shown["status"] == answer.status_code
    return answer.status_code, shown["error"]


def test_a_created_proxy_is_shown_with_every_member(
    control: Control, name: Callable[[str], str], echo: Echo
) -> None:
    """POST /proxies answers 201 with the bound address; GET shows the same."""
    body = {"name": name("a"), "listen": "127.0.0.1:0", "upstream": echo.address}
    answer = control.call("POST", "/proxies", body)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    shown = answer.json()
    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", shown.pop("listen"))
    assert shown == {
        "name": name("a"),
        "upstream": echo.address,
        "enabled": True,
        "Logger": {},
        "toxics": [],
    }
    assert control.ok("GET", f"/proxies/{name('a')}") == answer.json()
    assert control.ok("GET", "/proxies")[name("a")] == answer.json()


def test_a_proxy_can_be_created_disabled(control: Control, name: Callable[[str], str]) -> None:
    """It keeps the text of its address and does not listen."""
    body = {"name": name("off"), "listen": "localhost:0", "upstream": "x:1", "enabled": False}
    shown = control.ok("POST", "/proxies", body)
    assert (shown["enabled"], shown["listen"]) == (False, "localhost:0")


def test_an_empty_listen_is_a_random_port(control: Control, name: Callable[[str], str]) -> None:
    """Without `listen` the proxy is bound to a free port of every address."""
    shown = control.ok("POST", "/proxies", {"name": name("any"), "upstream": "127.0.0.1:1"})
    assert re.fullmatch(r"(\[::\]|0\.0\.0\.0):[1-9]\d*", shown["listen"])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"upstream": "x:1"}, "missing required field: name"),
        ({"name": "x"}, "missing required field: upstream"),
        ({"name": "", "upstream": "x:1"}, "missing required field: name"),
        (None, "bad request body: "),
        (b"{", "bad request body: "),
        (b"[]", "bad request body: "),
        ({"name": 1, "upstream": "x:1"}, "bad request body: "),
        ({"name": "x", "upstream": "x:1", "enabled": "yes"}, "bad request body: "),
    ],
)
def test_a_proxy_that_is_not_described_is_refused(control: Control, body: Any, reason: str) -> None:
    """400 says what is missing or cannot be read."""
    status, text = error(control, "POST", "/proxies", body)
    assert status == 400
    assert text.startswith(reason)


def test_keys_are_read_in_any_case_and_unknown_ones_ignored(
    control: Control, name: Callable[[str], str]
) -> None:
    """So are bytes after the first JSON value."""
    body = {"NAME": name("c"), "Upstream": "x:1", "listen": "127.0.0.1:0", "colour": 1}
    shown = control.ok("POST", "/proxies", json.dumps(body).encode() + b" trailing {")
    assert (shown["name"], shown["upstream"]) == (name("c"), "x:1")


def test_null_leaves_a_member_at_its_default(control: Control, name: Callable[[str], str]) -> None:
    """`enabled: null` is enabled."""
    body = {"name": name("n"), "upstream": "x:1", "listen": "127.0.0.1:0", "enabled": None}
    assert control.ok("POST", "/proxies", body)["enabled"] is True


def test_a_taken_name_is_409(control: Control, proxy: Proxy) -> None:
    """Whatever else the request says."""
    body = {"name": proxy.name, "upstream": "x:1", "listen": "127.0.0.1:0"}
    assert error(control, "POST", "/proxies", body) == (409, "proxy already exists")


def test_a_taken_address_is_500(control: Control, proxy: Proxy, name: Callable[[str], str]) -> None:
    """And the proxy does not come to be."""
    body = {"name": name("taken"), "upstream": "x:1", "listen": proxy.listen}
    status, text = error(control, "POST", "/proxies", body)
    assert status == 500
    assert "address already in use" in text
    assert error(control, "GET", f"/proxies/{name('taken')}") == (404, "proxy not found")


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "127.0.0.1:1:2"])
def test_an_address_that_cannot_be_read_is_500(
    control: Control, name: Callable[[str], str], listen: str
) -> None:
    """The text names it."""
    body = {"name": name("bad"), "upstream": "x:1", "listen": listen}
    assert error(control, "POST", "/proxies", body)[0] == 500


def test_an_unknown_proxy_is_404_everywhere(control: Control) -> None:
    """On each route that names one."""
    for method, path in [
        ("GET", "/proxies/nobody"),
        ("PATCH", "/proxies/nobody"),
        ("POST", "/proxies/nobody"),
        ("DELETE", "/proxies/nobody"),
        ("GET", "/proxies/nobody/toxics"),
        ("POST", "/proxies/nobody/toxics"),
        ("GET", "/proxies/nobody/toxics/t"),
        ("PATCH", "/proxies/nobody/toxics/t"),
        ("DELETE", "/proxies/nobody/toxics/t"),
    ]:
        assert error(control, method, path, {}) == (404, "proxy not found")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_update_ignores_the_name_and_keeps_what_it_leaves_out(
    control: Control, proxy: Proxy, method: str
) -> None:
    """An empty update changes nothing."""
    before = control.ok("GET", proxy.path)
    assert control.ok(method, proxy.path, {"name": "other"}) == before
    assert control.ok(method, proxy.path, {}) == before


def test_an_update_of_the_upstream_keeps_address_and_toxics(control: Control, proxy: Proxy) -> None:
    """The proxy goes on at the same address."""
    proxy.toxic("noop")
    shown = control.ok("PATCH", proxy.path, {"upstream": "127.0.0.1:1"})
    assert shown["upstream"] == "127.0.0.1:1"
    assert shown["listen"] == proxy.listen
    assert [toxic["name"] for toxic in shown["toxics"]] == ["noop_downstream"]


def test_an_update_to_a_bad_address_changes_nothing(control: Control, proxy: Proxy) -> None:
    """500, and the proxy goes on as it was."""
    before = control.ok("GET", proxy.path)
    assert error(control, "PATCH", proxy.path, {"listen": "nonsense"})[0] == 500
    assert control.ok("GET", proxy.path) == before


def test_an_update_to_a_taken_address_leaves_the_proxy_disabled(
    control: Control, proxy: Proxy
) -> None:
    """It had to let go of its old address first."""
    taken = control.url.removeprefix("http://").replace("localhost", "127.0.0.1")
    assert error(control, "PATCH", proxy.path, {"listen": taken})[0] == 500
    shown = control.ok("GET", proxy.path)
    assert (shown["enabled"], shown["listen"]) == (False, taken)


def test_a_deleted_proxy_is_gone(control: Control, proxy: Proxy) -> None:
    """204 with no body, then 404."""
    answer = control.call("DELETE", proxy.path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert error(control, "DELETE", proxy.path) == (404, "proxy not found")


def test_populate_creates_and_shows_in_order(control: Control, name: Callable[[str], str]) -> None:
    """201 with the proxies as they now are."""
    entries = [{"name": name(n), "listen": "127.0.0.1:0", "upstream": "x:1"} for n in ("b", "a")]
    answer = control.call("POST", "/populate", entries)
    assert answer.status_code == 201
    assert [proxy["name"] for proxy in answer.json()["proxies"]] == [name("b"), name("a")]


@pytest.mark.parametrize("body", [[], b"null"])
def test_populate_with_nothing_answers_null(control: Control, body: Any) -> None:
    """An empty list is `null` in the answer."""
    answer = control.call("POST", "/populate", body)
    assert (answer.status_code, answer.json()) == (201, {"proxies": None})


def test_populate_checks_all_before_it_creates_any(
    control: Control, name: Callable[[str], str]
) -> None:
    """The error counts proxies from 1."""
    entries = [
        {"name": name("first"), "listen": "127.0.0.1:0", "upstream": "x:1"},
        {"listen": "127.0.0.1:0", "upstream": "x:1"},
    ]
    answer = control.call("POST", "/populate", entries)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "error": "missing required field: name at proxy 2",
        "status": 400,
        "proxies": None,
    }
    assert control.call("GET", f"/proxies/{name('first')}").status_code == 404


def test_populate_leaves_an_unchanged_proxy_alone(control: Control, proxy: Proxy) -> None:
    """Its toxics, and that it is disabled, stay."""
    proxy.toxic("noop")
    before = control.ok("PATCH", proxy.path, {"enabled": False})
    entry = {"name": proxy.name, "listen": proxy.listen, "upstream": before["upstream"]}
    assert control.ok("POST", "/populate", [entry])["proxies"] == [before]


def test_populate_replaces_a_changed_proxy(control: Control, proxy: Proxy) -> None:
    """Another upstream takes the toxics with it."""
    proxy.toxic("noop")
    entry = {"name": proxy.name, "listen": proxy.listen, "upstream": "127.0.0.1:1"}
    (shown,) = control.ok("POST", "/populate", [entry])["proxies"]
    assert (shown["upstream"], shown["toxics"]) == ("127.0.0.1:1", [])


def test_populate_stops_at_the_first_failure_and_keeps_what_was_done(
    control: Control, proxy: Proxy, name: Callable[[str], str]
) -> None:
    """500 with the ones that were applied."""
    entries = [
        {"name": name("one"), "listen": "127.0.0.1:0", "upstream": "x:1"},
        {"name": name("two"), "listen": proxy.listen, "upstream": "x:1"},
        {"name": name("three"), "listen": "127.0.0.1:0", "upstream": "x:1"},
    ]
    answer = control.call("POST", "/populate", entries)
    assert answer.status_code == 500
    assert "address already in use" in answer.json()["error"]
    assert [shown["name"] for shown in answer.json()["proxies"]] == [name("one")]
    assert control.call("GET", f"/proxies/{name('three')}").status_code == 404


def test_reset_enables_and_removes_toxics(control: Control, proxy: Proxy) -> None:
    """204, the address stays."""
    proxy.toxic("noop")
    proxy.toxic("latency", "upstream", latency=5)
    control.ok("PATCH", proxy.path, {"enabled": False})
    answer = control.call("POST", "/reset")
    assert (answer.status_code, answer.content) == (204, b"")
    shown = control.ok("GET", proxy.path)
    assert (shown["enabled"], shown["toxics"]) == (True, [])
    assert shown["listen"] == proxy.listen


def test_reset_reports_an_address_that_was_taken_meanwhile(control: Control, proxy: Proxy) -> None:
    """500 instead of a silent failure."""
    with refusing_address() as taken:
        control.ok("PATCH", proxy.path, {"enabled": False})
        control.ok("PATCH", proxy.path, {"listen": taken})
        status, text = error(control, "POST", "/reset")
        control.ok("DELETE", proxy.path)
    assert status == 500
    assert "address already in use" in text


def test_version_and_unknown_paths(control: Control) -> None:
    """Exact bodies and content types."""
    answer = control.call("GET", "/version")
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    assert re.fullmatch(r'\{"version": "[^"]+"\}\n', answer.text)
    missing = control.call("GET", "/nowhere")
    assert (missing.status_code, missing.text) == (404, "404 page not found\n")
    assert missing.headers["content-type"] == TEXT
    wrong = control.call("PUT", "/proxies")
    assert (wrong.status_code, wrong.content) == (405, b"")
    assert control.call("GET", "/proxies/a/b/c/d").status_code == 404
    assert control.call("GET", "/proxies/").status_code == 404


def test_every_answer_carries_a_request_id(control: Control) -> None:
    """A new one each time."""
    header = "x-toxiproxy-request-id"
    first, second = (control.call("GET", "/proxies").headers[header] for _ in range(2))
    assert first != second


def test_browsers_are_sent_away(control: Control) -> None:
    """A page must not drive the proxy from a visitor's browser."""
    answer = control.http.get("/version", headers={"user-agent": "Mozilla/5.0"})
    assert (answer.status_code, answer.text) == (403, "User agent not allowed\n")


def test_a_path_with_doubled_slashes_is_redirected(control: Control) -> None:
    """301 to the clean path."""
    answer = control.call("GET", "/proxies//x")
    assert answer.status_code == 301
    assert answer.headers["location"] == "/proxies/x"


def test_health_and_readiness(ours: None, control: Control) -> None:
    """As every service of the reference stack."""
    health = control.ok("GET", "/healthz")
    assert (health["status"], health["service"]) == ("ok", "faultproxy")
    assert control.ok("GET", "/readyz")["status"] == "ready"


def test_version_is_the_contracts(ours: None, control: Control) -> None:
    """Clients choose between PATCH and POST by it."""
    assert control.ok("GET", "/version") == {"version": "2.12.0"}


def test_a_body_over_the_limit_is_413(ours: None, control: Control) -> None:
    """Memory is bounded."""
    status, text = error(control, "POST", "/proxies", b" " * 2**25)
    assert (status, text) == (413, "request body over 16777216 bytes")
