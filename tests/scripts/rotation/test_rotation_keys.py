"""The signing keys, their file and the register: what a rotation writes, and what it refuses."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from harness.core.errors import UsageError
from scripts.dayops.script import Busy
from scripts.rotation.files import Register, alone, write
from scripts.rotation.keyset import KeySet, new_key, probe


def _set() -> KeySet:
    return KeySet([{**new_key(), "kid": "old", "key_ops": ["sign"]}])


def test_a_rotation_in_its_four_steps_always_has_one_signer() -> None:
    key = {**new_key(), "kid": "new"}
    published = _set().with_key(key)
    assert published.signer["kid"] == "old" and published.kids == ["old", "new"]
    switched = published.signing_with("new")
    assert switched.signer["kid"] == "new" and switched.kids == ["old", "new"]
    assert switched.signing_with("old").signer["kid"] == "old"
    assert switched.without("old").kids == ["new"]
    with pytest.raises(UsageError):
        switched.without("new")


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"kid": "a", "key_ops": ["verify"]}],
        [{"kid": "a", "key_ops": ["sign"]}, {"kid": "b", "key_ops": ["sign"]}],
        [{"kid": "a", "key_ops": ["sign"]}, {"kid": "a", "key_ops": ["verify"]}],
        [{"key_ops": ["sign"]}],
    ],
)
def test_a_set_without_one_signer_and_ids_is_refused(keys: list[dict[str, object]]) -> None:
    with pytest.raises(UsageError, match="no set that can be rotated"):
        KeySet(keys)


@pytest.mark.parametrize("text", ["", "{", '{"keys": []}', "[1]"])
def test_a_file_that_holds_no_keys_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(text + " secret-word")
    with pytest.raises(UsageError) as refused:
        KeySet.load(tmp_path / "keys.json")
    assert "secret-word" not in str(refused.value)


def test_a_probe_is_signed_by_its_key_and_names_no_tenant() -> None:
    key = new_key()
    decoded = jwt.decode(probe(key, "issuer", "audience"), ECKey.import_key(key))
    assert decoded.header["kid"] == key["kid"]
    assert decoded.claims["app_metadata"] == {} and decoded.claims["iss"] == "issuer"


def test_files_are_private_and_keep_the_mode_they_had(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    write(path, "two")
    assert path.read_text() == "two" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


def test_two_rotations_of_one_key_do_not_meet(tmp_path: Path) -> None:
    with alone(tmp_path / "keys.json"), pytest.raises(Busy), alone(tmp_path / "keys.json"):
        pass
    with alone(tmp_path / "keys.json"):
        pass


def test_the_register_dates_one_key_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "register.json"
    register = Register(path)
    assert register.created("auth-signing") is None
    other = {"key": "embed", "kind": "api", "created": "2026-01-01T00:00:00+00:00", "note": "x"}
    path.write_text(json.dumps({"keys": [other]}))
    made = datetime(2026, 5, 9, 8, tzinfo=UTC)
    register.record("auth-signing", "jwt", made)
    register.record("auth-signing", "jwt", made)
    assert register.created("auth-signing") == made
    entries = json.loads(path.read_text())["keys"]
    assert entries[0] == other and len(entries) == 2


@pytest.mark.parametrize("created", ["2026-05-09T08:00:00", "soon", None])
def test_a_date_that_cannot_be_read_is_refused(created: object, tmp_path: Path) -> None:
    path = tmp_path / "register.json"
    path.write_text(json.dumps({"keys": [{"key": "k", "kind": "jwt", "created": created}]}))
    with pytest.raises(UsageError, match="date of k"):
        Register(path).created("k")
