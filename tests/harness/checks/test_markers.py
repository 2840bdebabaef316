"""Markers are found however a text wraps them, and nothing else is taken for one."""

from __future__ import annotations

import base64
import itertools
import random

import pytest

from harness.checks.markers import Finder, Marker, excerpt, new_word

WORD = "markf00dfacecafe0123"
MARKER = Marker(WORD, "quarry", "work", "doc-1", "text")


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_marker_is_found_in_base64_at_every_alignment(before, encode) -> None:
    chance = random.Random(before)
    for after, _ in itertools.product(range(4), range(20)):
        raw = chance.randbytes(before) + WORD.encode() + chance.randbytes(after)
        assert Finder([MARKER]).find(encode(raw).decode()) == [MARKER]


@pytest.mark.parametrize("text", [WORD.upper(), f"x{WORD}y", WORD.encode().hex()])
def test_a_marker_is_found_in_capitals_inside_words_and_as_hex(text) -> None:
    assert Finder([MARKER]).find(text) == [MARKER]


def test_another_marker_or_a_piece_of_one_is_not_found() -> None:
    text = f"{WORD[:-1]} {WORD[1:]} {new_word()} {base64.b64encode(new_word().encode()).decode()}"
    assert Finder([MARKER]).find(text) == []


def test_an_id_of_any_shape_is_found() -> None:
    plain = Marker("Doc-Z", "quarry", "work", "Doc-Z", "id")
    assert Finder([MARKER, plain]).find(f"/v1/doc-z {WORD}") == [MARKER, plain]


def test_words_are_unguessable_and_never_alike() -> None:
    assert len({new_word() for _ in range(1000)}) == 1000


def test_an_excerpt_blacks_out_all_but_the_marker_and_the_keys_of_json() -> None:
    shown = excerpt(f'{{"text":"The payroll of {WORD} is secret","score":0.5}}', WORD)
    assert WORD in shown and '"text":' in shown
    assert not {"payroll", "secret", "The", "5"} & set(shown.replace('"', " ").split())


def test_an_excerpt_of_an_encoded_marker_says_so() -> None:
    assert excerpt(base64.b64encode(WORD.encode()).decode(), WORD) == f"(encoded) {WORD}"
