"""Signing keys from a file that is followed: what takes effect, and what changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from auth_lab import ISSUER, private
from joserfc import jwk

from refstack.auth.keys import KeyRing, read_keys
from refstack.auth.reloading import FollowedKeys
from refstack.common.settings import SettingError

OLD = private(jwk.ECKey.generate_key("P-256"), "old", "sign")
NEW = private(jwk.ECKey.generate_key("P-256"), "new", "sign")


def _read(held: str) -> KeyRing:
    return read_keys(held, ISSUER, "authenticated")


def _followed(file: Path) -> FollowedKeys:
    return FollowedKeys(json.dumps([OLD]), file, _read)


def test_without_a_file_the_setting_holds(tmp_path: Path) -> None:
    keys = _followed(tmp_path / "keys.json")
    assert keys.signing_kid == "old" and not keys.reload()


def test_a_file_takes_effect_and_its_end_too(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = _followed(file)
    token = keys.sign({"sub": "x", "exp": 4_000_000_000})
    file.write_text(json.dumps([{**OLD, "key_ops": ["verify"]}, NEW]))
    assert keys.reload() and keys.signing_kid == "new"
    assert keys.verify(token)["sub"] == "x"
    assert [key["kid"] for key in keys.jwks["keys"]] == ["old", "new"]
    assert not keys.reload()
    file.unlink()
    assert keys.reload() and keys.signing_kid == "old"


def test_a_file_that_is_there_at_the_start_goes_before_the_setting(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([NEW]))
    assert _followed(file).signing_kid == "new"


@pytest.mark.parametrize("text", ["", "[", "[]", "{}"])
def test_a_file_that_cannot_be_used_changes_nothing_until_it_can(text: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = _followed(file)
    file.write_text(text)
    assert not keys.reload() and not keys.reload()
    assert keys.signing_kid == "old" and keys.failures == 1
    file.write_text(json.dumps([NEW]))
    assert keys.reload() and keys.signing_kid == "new"


def test_a_bad_file_at_the_start_is_refused_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('[{"secret-word": 1}]')
    with pytest.raises(SettingError) as refused:
        _followed(file)
    assert "secret-word" not in str(refused.value)
