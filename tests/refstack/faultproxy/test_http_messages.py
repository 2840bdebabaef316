"""Reading HTTP messages: the same events however the bytes are cut, and not a byte lost."""

from __future__ import annotations

import itertools

import pytest
from http_lab import answer, in_chunks
from hypothesis import given, settings
from hypothesis import strategies as st

from refstack.faultproxy.http.messages import (
    Data,
    End,
    Head,
    NotHttp,
    Reader,
    request_framing,
    response_framing,
)
from refstack.faultproxy.http.requests import Requests

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"


def reader(method: bytes = b"GET") -> Reader:
    return Reader(lambda head: response_framing(head, method))


def read(what: Reader, *parts: bytes) -> tuple[bytes, list[bytes], int]:
    """All wire bytes, the payload of each message, and how many ended."""
    wire, payloads, ended = b"", [b""], 0
    for part in parts:
        for event in what.feed(part):
            match event:
                case Head():
                    wire += event.raw
                case Data():
                    wire += event.wire
                    payloads[-1] += event.payload
                case End():
                    ended += 1
                    payloads.append(b"")
    return wire, payloads[:-1] if not payloads[-1] else payloads, ended


@settings(max_examples=60, deadline=None)
@given(
    bodies=st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
)
def test_messages_are_the_same_however_they_are_cut(
    bodies: list[tuple[bool, bytes]], cuts: list[int]
) -> None:
    sent = b"".join(
        in_chunks(body, 7, 100) if chunked else answer(body) for chunked, body in bodies
    )
    places = sorted({min(cut, len(sent)) for cut in cuts} | {0, len(sent)})
    parts = [sent[a:b] for a, b in itertools.pairwise(places)]
    wire, _, ended = read(reader(), *parts)
    assert wire == sent
    assert ended == len(bodies)


def test_the_payload_is_free_of_the_framing_of_chunks() -> None:
    _, payloads, _ = read(reader(), in_chunks(b"abcdefghij", 3, 4), answer(b"xy"))
    assert payloads == [b"abcdefghij", b"xy"]


@pytest.mark.parametrize(
    ("method", "sent"),
    [(b"HEAD", answer(b"").replace(b"Length: 0", b"Length: 99")), (b"GET", EMPTY)],
)
def test_some_responses_have_no_body_whatever_their_length_says(method: bytes, sent: bytes) -> None:
    assert read(reader(method), sent + sent) == (sent + sent, [b"", b""], 2)


def test_an_interim_response_is_followed_by_the_final_one() -> None:
    assert read(reader(), CONTINUE + answer(b"ok"))[1:] == ([b"ok"], 1)


def test_a_response_without_a_length_goes_on_to_the_end_of_the_connection() -> None:
    one = reader()
    _, payloads, ended = read(one, b"HTTP/1.0 200 OK\r\n\r\nabc", b"def")
    assert (payloads, ended, one.ends_at_close) == ([b"abcdef"], 0, True)


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_not_http_is_told_and_given_back_whole(sent: bytes) -> None:
    one = reader()
    with pytest.raises(NotHttp):
        list(one.feed(sent))
    assert one.rest() == sent


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"\r\n"])
def test_a_broken_chunk_is_told(chunk: bytes) -> None:
    with pytest.raises(NotHttp):
        list(reader().feed(in_chunks(b"").partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + chunk))


def test_requests_are_counted_from_the_first_request_line_on() -> None:
    seen = Requests()
    seen.see(b"the rest of an upload that began before")
    assert not seen.waiting
    seen.see(b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /")
    seen.see(b"HEAD /b?q=1 HTTP/1.1\r\n\r\nGET /c HT")
    seen.see(b"TP/1.1\r\n\r\n")
    assert [(r.method, r.target) for r in seen.waiting] == [
        (b"POST", b"/a"),
        (b"HEAD", b"/b?q=1"),
        (b"GET", b"/c"),
    ]


def test_what_is_no_request_makes_it_start_over() -> None:
    seen = Requests()
    seen.see(b"GET /a HTTP/1.1\r\n\r\n")
    seen.see(b"\x16\x03\x01 not http\r\n\r\n")
    assert not seen.waiting
    seen.see(b"GET /b HTTP/1.1\r\n\r\n")
    assert [r.target for r in seen.waiting] == [b"/b"]


def test_a_request_body_in_chunks_is_no_request() -> None:
    one = Reader(request_framing)
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    events = list(one.feed(head + b"10\r\nGET / HTTP/1.1\r\n\r\n0\r\n\r\n"))
    assert sum(isinstance(event, Head) for event in events) == 1
