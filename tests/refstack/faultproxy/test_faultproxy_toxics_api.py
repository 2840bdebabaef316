"""The API of toxics, black box: creation, order, defaults, updates and refusals."""

from __future__ import annotations

from typing import Any

import pytest
from faultproxy_lab import Control, Proxy


def refused(proxy: Proxy, body: Any, path: str = "/toxics", method: str = "POST") -> Any:
    """Status and text of a refused call."""
    answer = proxy.control.call(method, proxy.path + path, body)
    assert not answer.is_success
    return answer.status_code, answer.json()["error"]


DEFAULTS: dict[str, dict[str, Any]] = {
    "noop": {},
    "latency": {"latency": 0, "jitter": 0},
    "bandwidth": {"rate": 0},
    "slow_close": {"delay": 0},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "limit_data": {"bytes": 0},
}


@pytest.mark.parametrize("type_name", DEFAULTS)
def test_a_toxic_is_shown_with_its_defaults(control: Control, proxy: Proxy, type_name: str) -> None:
    """Name, stream and toxicity are filled in."""
    answer = control.call("POST", f"{proxy.path}/toxics", {"type": type_name})
    expected = {
        "attributes": DEFAULTS[type_name],
        "name": f"{type_name}_downstream",
        "type": type_name,
        "stream": "downstream",
        "toxicity": 1,
    }
    assert (answer.status_code, answer.json()) == (200, expected)
    assert control.ok("GET", f"{proxy.path}/toxics/{type_name}_downstream") == expected
    assert control.ok("GET", f"{proxy.path}/toxics") == [expected]
    assert control.ok("GET", proxy.path)["toxics"] == [expected]


def test_the_slicer_and_packet_loss_show_theirs(ours: None, control: Control, proxy: Proxy) -> None:
    """The slicer has no default size that works; packet loss came after 2.12.0."""
    proxy.toxic("slicer", average_size=10)
    proxy.toxic("packet_loss", loss_rate=0.25)
    assert [toxic["attributes"] for toxic in control.ok("GET", f"{proxy.path}/toxics")] == [
        {"average_size": 10, "size_variation": 0, "delay": 0},
        {"loss_rate": 0.25, "correlation": 0},
    ]


def test_upstream_toxics_come_first_then_the_order_of_creation(
    control: Control, proxy: Proxy
) -> None:
    """In every listing."""
    proxy.toxic("noop", name="c")
    proxy.toxic("noop", "upstream", name="b")
    proxy.toxic("noop", name="a")
    listed = control.ok("GET", f"{proxy.path}/toxics")
    assert [toxic["name"] for toxic in listed] == ["b", "c", "a"]


def test_stream_is_read_in_any_case_and_kept_as_written(proxy: Proxy, control: Control) -> None:
    """The default name is made from it."""
    shown = control.ok("POST", f"{proxy.path}/toxics", {"type": "noop", "stream": "UpStream"})
    assert (shown["stream"], shown["name"]) == ("UpStream", "noop_UpStream")


@pytest.mark.parametrize("stream", ["", "sideways"])
def test_another_stream_is_refused(proxy: Proxy, stream: str) -> None:
    """An explicit empty one too."""
    expected = (400, "stream was invalid, can be either upstream or downstream")
    assert refused(proxy, {"type": "noop", "stream": stream}) == expected


def test_checks_come_in_a_fixed_order(proxy: Proxy) -> None:
    """Body, stream, type, duplicate, attributes."""
    proxy.toxic("latency", name="taken")
    wrong = {"latency": "x"}
    assert refused(proxy, b"{")[1].startswith("bad request body: ")
    assert refused(proxy, {"type": "x", "stream": "x"})[1].startswith("stream was invalid")
    body = {"type": "x", "name": "taken", "attributes": wrong}
    assert refused(proxy, body) == (400, "invalid toxic type")
    body = {"type": "latency", "name": "taken", "attributes": wrong}
    assert refused(proxy, body) == (409, "toxic already exists")
    status, text = refused(proxy, {"type": "latency", "attributes": wrong})
    assert (status, text[:18]) == (400, "bad request body: ")


@pytest.mark.parametrize(
    "body",
    [
        {"type": "latency", "attributes": {"latency": 1.5}},
        {"type": "latency", "attributes": {"latency": True}},
        {"type": "latency", "attributes": {"latency": 2**63}},
        {"type": "latency", "attributes": []},
        {"type": "latency", "toxicity": "1"},
        {"type": 5},
        b"",
        b"[]",
    ],
)
def test_a_toxic_of_the_wrong_types_is_400(proxy: Proxy, body: Any, control: Control) -> None:
    """Nothing is created."""
    assert refused(proxy, body)[0] == 400
    assert control.ok("GET", f"{proxy.path}/toxics") == []


def test_names_are_unique_across_both_streams(proxy: Proxy) -> None:
    """409, and the first one stays."""
    proxy.toxic("noop", "upstream", name="same")
    body = {"type": "noop", "stream": "downstream", "name": "same"}
    assert refused(proxy, body) == (409, "toxic already exists")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_update_merges_and_leaves_name_type_and_stream(
    control: Control, proxy: Proxy, method: str
) -> None:
    """What is not mentioned stays."""
    toxic = proxy.toxic("latency", latency=100, jitter=10, toxicity=0.5)
    change = {
        "name": "x",
        "type": "timeout",
        "stream": "upstream",
        "attributes": {"jitter": 20},
    }
    expected = {
        "attributes": {"latency": 100, "jitter": 20},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 0.5,
    }
    assert control.ok(method, toxic, change) == expected
    assert control.ok(method, toxic, {"toxicity": 0.1})["toxicity"] == 0.1
    assert control.ok(method, toxic, {})["attributes"] == {"latency": 100, "jitter": 20}


@pytest.mark.parametrize("toxicity", [0, 0.25, 1.5, -1, 20, 5e20, 1e-7])
def test_toxicity_is_not_checked(control: Control, proxy: Proxy, toxicity: float) -> None:
    """It is kept as it came."""
    toxic = proxy.toxic("noop", toxicity=toxicity)
    assert control.ok("GET", toxic)["toxicity"] == toxicity


def test_toxicity_is_kept_in_32_bits(control: Control, proxy: Proxy) -> None:
    """As the shortest decimal that stands for the same number."""
    for number, (given, shown) in enumerate([(0.123456789, "0.12345679"), (1 / 3, "0.33333334")]):
        toxic = proxy.toxic("noop", name=f"t{number}", toxicity=given)
        assert f'"toxicity":{shown}' in control.call("GET", toxic).text


def test_a_removed_toxic_is_gone(control: Control, proxy: Proxy) -> None:
    """204 with no body, then 404 on every route."""
    toxic = proxy.toxic("noop")
    answer = control.call("DELETE", toxic)
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "PATCH", "POST", "DELETE"):
        assert refused(proxy, {}, "/toxics/noop_downstream", method) == (404, "toxic not found")


def test_an_unknown_attribute_is_refused_with_the_known_ones(ours: None, proxy: Proxy) -> None:
    """A misspelt fault would otherwise be none."""
    expected = (400, "bad request body: unknown attribute 'Latancy'; known: latency, jitter")
    assert refused(proxy, {"type": "latency", "attributes": {"Latancy": 1}}) == expected
    toxic = proxy.toxic("latency", latency=5)
    answer = proxy.control.call("PATCH", toxic, {"attributes": {"jiter": 1, "latency": 9}})
    assert answer.status_code == 400
    assert proxy.control.ok("GET", toxic)["attributes"] == {"latency": 5, "jitter": 0}


@pytest.mark.parametrize(
    ("type_name", "attributes", "allowed"),
    [
        ("bandwidth", {"rate": -1}, "rate must be 0 or more"),
        ("slicer", {}, "average_size must be 1 or more"),
        ("slicer", {"average_size": -5}, "average_size must be 1 or more"),
        ("slicer", {"average_size": 8, "size_variation": 8}, "must be from 0 to 7"),
        ("slicer", {"average_size": 8, "size_variation": -1}, "must be from 0 to 7"),
    ],
)
def test_values_that_crash_the_original_are_refused_with_the_range(
    ours: None, proxy: Proxy, type_name: str, attributes: dict[str, int], allowed: str
) -> None:
    """At creation and at update alike."""
    status, text = refused(proxy, {"type": type_name, "attributes": attributes})
    assert status == 400
    assert allowed in text
    toxic = proxy.toxic(type_name, **({"average_size": 8} if type_name == "slicer" else {}))
    if attributes:
        answer = proxy.control.call("PATCH", toxic, {"attributes": attributes})
        assert answer.status_code == 400
