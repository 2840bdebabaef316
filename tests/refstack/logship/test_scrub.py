"""Scrubbing takes out what must not be shipped, in every spelling, and leaves the rest alone."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest

from refstack.logship import iban
from refstack.logship.keylines import KeyLines
from refstack.logship.scrub import Scrubber

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4eXoxMjM0In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail to max.mustermann+shop@mail.example.de now", "mail to [email] now"),
        ("GET /v1/documents/user%40example.com", "GET /v1/documents/[email]"),
        ("max(at)example.org", "[email]"),
        ("call +49 30 1234567, please", "call [phone], please"),
        ("call +1 (415) 555-0100.", "call [phone]."),
        ("0049 171 5871161", "[phone]"),
        ("00491715871161", "[phone]"),
        ("030 12345678", "[phone]"),
        ("(030) 1234 5678", "[phone]"),
        ("0171/5871161", "[phone]"),
        ("01715871161", "[phone]"),
        ("01 23 45 67 89", "[phone]"),
        ("020 7946 0958", "[phone]"),
        ("(555) 123-4567", "[phone]"),
        ("555-123-4567", "[phone]"),
        ("tel=%2B49%2030%201234567", "tel=[phone]"),
        ("tel:030 12345678 and phone=0171/5871161", "tel:[phone] and phone=[phone]"),
        ("cursor=%2B49+171+758+6211", "cursor=[phone]"),
        ("iban=DE89+3704+0044+0532+0130+00", "iban=[iban]"),
        ("DE89 3704 0044 0532 0130 00 is it", "[iban] is it"),
        ("de89370400440532013000", "[iban]"),
        ("GB82-WEST-1234-5698-7654-32", "[iban]"),
        ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer [token]"),
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic [token]"),
        (f"got {JWT}", "got [token]"),
        ("key sk-proj-abcdefghijklmnop1234", "key [secret]"),
        ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
        (
            "postgresql://rag:hunter2x@127.0.0.1:5432/rag",
            "postgresql://[secret]@127.0.0.1:5432/rag",
        ),
        ("password=hunter2x", "password=[secret]"),
        ("password: correcthorse", "password: [secret]"),
        ("embed_api_key: 0123456789abcdef", "embed_api_key: [secret]"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "[secret]"),
        ("GET /v1?key=0123456789abcdef&alt=json", "GET /v1?key=[secret]&alt=json"),
        ("GET /o?X-Amz-Signature=0123abcd4567", "GET /o?X-Amz-Signature=[secret]"),
        ("accessToken=0123456789abcdef", "accessToken=[secret]"),
        ("PGPASSWORD=hunter2x psql", "PGPASSWORD=[secret] psql"),
        ("+49\u00a0171\u00a0587\u00a01861", "[phone]"),
        ("0171\u202f587\u202f1861 rang", "[phone] rang"),
        ("DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00", "[iban]"),
        ("jürgen.x+rag@bücher.example.museum", "[email]"),
    ],
)
def test_what_must_not_be_shipped_is_taken_out(text: str, clean: str) -> None:
    assert Scrubber().text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T14:34:27.123+01:00 took 1234.56 ms on port 54321",
        "trace 4f9d0e1c2b3a49588796a5b4c3d2e1f0 of 123e4567-e89b-12d3-a456-426614174000",
        "LSN 0/15D6A28 in 000000010000000000000001",
        "192.168.100.200:8080 version 1.31.3 build 20261122",
        "1000000 of 15000000 rows, 99.95 %, open 0930-1200",
        "invalid token: expired",
        "basic information about bearer certificates",
        "token: 512 tokens=4096 max_tokens: 128",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "rag_gateway@rag FATAL",
        "17 rows @ 3/s, x@y, 3 + 4 = 7",
        "1732286067.123 1732286067123456789",
        "ranges 1-2-3 and 100-200-3000, 0.001 0.0025",
        "100%25 of %20 stays as it is",
        "GET /v1/documents?limit=50&cursor=doc-17&persona=work",
        "monkey=banana12345 keyboard: layout_de_nodeadkeys",
        "open 09:30\u201312:00 and pages 100\u2013200, 5\u00a0000 rows",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Scrubber().text(text) == text


def test_a_line_that_holds_nothing_is_the_same_bytes() -> None:
    line = '{"ts": "2026-11-22T14:34:27.123Z",  "event":"request", "ms":12.50, "n":1e3}'
    assert Scrubber().line(line) == line


def test_every_depth_and_every_key_of_a_json_line_is_looked_at() -> None:
    held = {"a": [{"b": [["x@example.com"]]}], "y@example.com": {"authorization": "abc"}}
    clean = json.loads(Scrubber().line(json.dumps(held)))
    assert clean == {"a": [{"b": [["[email]"]]}], "[email]": {"authorization": "[secret]"}}


def test_what_lies_too_deep_to_be_looked_at_is_not_shipped() -> None:
    held: object = "x@example.com"
    for _ in range(40):
        held = {"more": held}
    assert "example" not in Scrubber().line(json.dumps(held))


def test_fields_made_for_what_people_write_are_replaced_whole() -> None:
    line = Scrubber().line('{"query": "Anna Schmidt, Lindenweg 3", "texts": ["a"], "text": 4}')
    assert json.loads(line) == {
        "query": "[written: 25 characters]",
        "texts": "[written: 1 items]",
        "text": 4,
    }


def test_a_key_without_a_shape_is_known_by_its_digest() -> None:
    secret = "0f3a9c7be41d2866a0b1c2d3e4f5061728394a5b"
    scrubber = Scrubber([hashlib.sha256(secret.encode()).hexdigest()])
    assert scrubber.text(f"refused {secret}, asked again") == "refused [secret], asked again"
    assert Scrubber().text(secret) == secret


def test_a_private_key_of_many_lines_is_known_to_its_end() -> None:
    log = KeyLines()
    lines = ["before", "-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA", "Zm9vYmFy==", ""]
    lines += ["-----END RSA PRIVATE KEY-----", "c2hvcnQ", "after"]
    assert [log.holds(line) for line in lines] == [
        *(False, False, True, True, True),
        *(True, False, False),
    ]


def test_a_key_that_never_ends_does_not_swallow_the_log() -> None:
    log = KeyLines()
    assert not log.holds("-----BEGIN PRIVATE KEY-----")
    assert not log.holds("2026-11-22 19:41:47 UTC LOG:  checkpoint starting")
    assert not log.holds("word")


def test_ordinary_pages_are_left_alone() -> None:
    """The documents of this repository: prose, tables and commands of the kind that logs quote."""
    root = Path(__file__).resolve().parents[3]
    pages = [root / "ARCHITECTURE.md", root / "CONTRIBUTING.md", *sorted(root.glob("docs/*.md"))]
    lines = [line for page in pages for line in page.read_text().splitlines()]
    changed = [line for line in lines if Scrubber().text(line) != line]
    assert len(lines) > 1000
    # Headers that carry keys, and user@host, are taken for what they look like.
    like_secrets = ("api-key: ", "Authorization: ", "@")
    assert not [line for line in changed if not any(word in line for word in like_secrets)]
    assert len(changed) < len(lines) / 100


def test_what_was_taken_out_is_counted_by_kind() -> None:
    scrubber = Scrubber()
    scrubber.text("a@example.com b@example.com 030 12345678")
    assert scrubber.taken == {"email": 2, "phone": 1}


@pytest.mark.parametrize("text", ["DE89 3704 0044 0532 0130 01", "XX89370400440532013000", "DE8"])
def test_what_only_looks_like_an_account_number_is_none(text: str) -> None:
    assert iban.spans(text) == []


@pytest.mark.parametrize("piece", ["a", "1 ", "a.", "%41", "x@", "eyJ.", "://", "0 ", "key="])
def test_a_hostile_line_takes_no_time_worth_mentioning(piece: str) -> None:
    began = time.perf_counter()
    Scrubber().text(piece * (32_000 // len(piece)))
    # A pattern that goes back over what it read would take minutes.
    assert time.perf_counter() - began < 5
