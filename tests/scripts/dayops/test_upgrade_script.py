"""upgrade_qdrant.sh: which version may follow which, what is done in which order, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import TargetError, UsageError
from scripts.dayops import upgrade_compare, upgrade_qdrant
from scripts.dayops.script import Refused
from scripts.dayops.upgrade_journal import KEY, Journal, Logbook
from scripts.dayops.upgrade_path import check_version, is_version, refuse_path
from scripts.dayops.vectorstore import Server


@pytest.mark.parametrize(
    ("now", "to", "fresh", "last", "allowed"),
    [
        ("1.18.3", "1.18.4", False, False, True),
        ("1.18.3", "1.19.0", False, False, True),
        ("1.18.3", "1.19", True, False, True),
        ("1.18.3", "1.20.0", False, False, False),
        ("1.18.3", "1.20.0", True, True, False),
        ("1.18.3", "1.17.9", False, False, False),
        ("1.18.3", "0.19.0", True, False, False),
        ("1.18.3", "2.0.0", False, True, False),
        ("1.18.3", "2.0.0", True, False, False),
        ("1.18.3", "2.0.0", True, True, True),
        ("1.18.3", "2.1.0", True, True, False),
        ("1.18.3", "3.0.0", True, True, False),
    ],
)
def test_one_minor_at_a_time_and_a_major_only_into_a_fresh_volume(
    now: str, to: str, fresh: bool, last: bool, allowed: bool
) -> None:
    if allowed:
        refuse_path(now, to, fresh=fresh, last_minor=last)
        return
    with pytest.raises(Refused):
        refuse_path(now, to, fresh=fresh, last_minor=last)


def test_a_minor_version_stands_for_any_patch_of_it() -> None:
    assert is_version("1.19.2", "1.19") and is_version("1.19.2", "1.19.2")
    assert not is_version("1.19.2", "1.19.20") and not is_version("1.190.2", "1.19")


@pytest.mark.parametrize("text", ["latest", "1", "1.x", "v1.19", "1.19.0.1", ""])
def test_what_is_no_version_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="no version"):
        check_version(text)


class FakeBucket:
    """Objects in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def put_json(self, key: str, document: Any, _scratch: Path) -> None:
        self.objects[key] = json.dumps(document).encode()


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"format": "x"}', b'{"format": "ragdrill-upgrade-1"}']
)
def test_a_journal_that_cant_be_read_stops_everything(data: bytes, tmp_path: Path) -> None:
    bucket = FakeBucket()
    bucket.objects[KEY] = data
    with pytest.raises(TargetError, match="can't be read"):
        Logbook(bucket, tmp_path).load()  # type: ignore[arg-type]


class Lab:
    """A vector store whose version and content are files that the operator's commands write."""

    BACKUP = "2026-05-09/vectordb-230000Z-abcdef"

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self.bucket = place, FakeBucket()
        self.backed_up = ""
        (place / "version").write_text("1.18.3")
        (place / "content").write_text("all")
        monkeypatch.setattr("tempfile.tempdir", str(place))
        monkeypatch.setattr(upgrade_qdrant, "Bucket", lambda _: self.bucket)
        monkeypatch.setattr(upgrade_qdrant, "VectorStore", lambda *_: self)
        monkeypatch.setattr(
            upgrade_qdrant.Upgrade, "_back_up", lambda _, journal: self.backup(journal)
        )
        monkeypatch.setattr(upgrade_qdrant.Upgrade, "_manifest", lambda *_: self.manifest())
        monkeypatch.setattr(upgrade_qdrant.Upgrade, "_restore", lambda *_: self.restore())
        monkeypatch.setattr(upgrade_compare, "differences", lambda *_, **__: self.differences())
        self._monkeypatch = monkeypatch

    # --- what the script sees ---

    def server(self) -> Server:
        return Server("qdrant", (self.place / "version").read_text(), "")

    def is_there(self) -> bool:
        return (self.place / "version").exists()

    answers = is_there

    def collections(self) -> list[str]:
        return ["chunks"] if self.content else []

    @property
    def content(self) -> str:
        return (self.place / "content").read_text()

    def manifest(self) -> dict[str, Any]:
        return {"collections": [{"name": "chunks", "count": 3}], "server": {}}

    def backup(self, journal: Journal) -> None:
        self.backed_up, journal.backup = self.content, self.BACKUP

    def restore(self) -> int:
        (self.place / "content").write_text(self.backed_up)
        return 1

    def differences(self) -> list[str]:
        return [] if self.content == self.backed_up else [f"content: {self.content}"]

    # --- what the operator does ---

    def run(self, *argv: str, **more: str) -> int:
        place = self.place

        def start(version: str, content: str = "") -> str:
            fills = f"printf '{content}' > {place}/content; " if content else ""
            return f"echo start {version} >> {place}/did; {fills}printf {version} > {place}/version"

        commands = {
            "STOP_QDRANT_CMD": f"echo stop >> {place}/did; rm {place}/version",
            "START_NEW_QDRANT_CMD": start("1.19.0"),
            "START_OLD_QDRANT_CMD": start("1.18.3"),
            "WIPE_QDRANT_CMD": f"echo wipe >> {place}/did; : > {place}/content",
            "STOP_WRITERS_CMD": f"echo writers off >> {place}/did",
            "START_WRITERS_CMD": f"echo writers on >> {place}/did",
            "QDRANT_URL": "http://127.0.0.1:1",
            "S3_ENDPOINT_URL": "http://127.0.0.1:1",
            **dict.fromkeys(("QDRANT_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x"),
        }
        for name, value in {**commands, **more}.items():
            self._monkeypatch.setenv(name, value)
        return upgrade_qdrant.run([*argv, "--ready-s", "1"])

    @property
    def did(self) -> list[str]:
        """What was done since the last look."""
        log = self.place / "did"
        lines = log.read_text().splitlines() if log.exists() else []
        log.write_text("")
        return lines

    @property
    def journal(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.bucket.objects[KEY])
        return found


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


THERE = ["writers off", "stop", "start 1.19.0", "writers on"]
BACK = ["writers off", "stop", "wipe", "start 1.18.3", "writers on"]


def test_an_upgrade_stops_the_writers_first_and_lets_them_go_on_last(lab: Lab) -> None:
    assert lab.run("--to", "1.19") == 0
    assert lab.did == THERE and lab.journal["ended"] == "done"
    assert lab.run("--to", "1.19") == 0 and lab.did == []


def test_a_version_that_lost_something_keeps_the_writers_stopped_until_it_is_undone(
    lab: Lab,
) -> None:
    loses = f"printf 'less' > {lab.place}/content; printf 1.19.0 > {lab.place}/version"
    assert lab.run("--to", "1.19", START_NEW_QDRANT_CMD=loses) == 5
    assert lab.did == ["writers off", "stop"]
    assert lab.run("--undo") == 0
    assert lab.did == BACK and lab.content == "all"
    assert lab.run("--undo") == 0 and lab.did == [], "undone already"


def test_another_version_than_was_asked_for_is_no_upgrade(lab: Lab) -> None:
    other = f"printf 1.20.0 > {lab.place}/version"
    assert lab.run("--to", "1.19", START_NEW_QDRANT_CMD=other) == 2
    assert lab.journal["ended"] == "" and "writers on" not in lab.did
    assert lab.run("--to", "1.19") == 0
    assert lab.did == THERE


def test_a_new_version_that_does_not_come_up_can_be_undone(lab: Lab) -> None:
    assert lab.run("--to", "1.19", START_NEW_QDRANT_CMD="true") == 2
    assert lab.did == ["writers off", "stop"]
    assert lab.run("--undo") == 0
    assert lab.did == ["writers off", "wipe", "start 1.18.3", "writers on"]
    assert lab.content == "all"


def test_what_never_came_to_the_data_is_undone_without_touching_them(lab: Lab) -> None:
    assert lab.run("--to", "1.19", STOP_QDRANT_CMD="exit 7") == 2
    assert lab.did == ["writers off"]
    assert lab.run("--undo") == 0
    assert lab.did == ["writers off", "stop", "start 1.18.3", "writers on"]


def test_undoing_never_reaches_back_to_the_upgrade_before(lab: Lab) -> None:
    lab.run("--to", "1.19")
    assert lab.did
    assert lab.run("--to", "1.20", STOP_WRITERS_CMD="exit 7") == 2
    assert lab.run("--undo") == 0
    assert lab.did == ["writers off", "writers on"] and lab.server().version == "1.19.0"


def test_what_was_written_since_is_not_lost_without_a_word(lab: Lab) -> None:
    lab.run("--to", "1.19")
    assert lab.did
    (lab.place / "content").write_text("all and more")
    assert lab.run("--undo") == 1
    assert lab.did == ["writers off", "writers on"] and lab.server().version == "1.19.0"
    assert lab.run("--undo", "--accept-loss") == 0
    assert lab.did == BACK and lab.content == "all"


def test_a_finished_upgrade_is_undone_where_nothing_was_written_since(lab: Lab) -> None:
    lab.run("--to", "1.19")
    assert lab.did
    assert lab.run("--undo") == 0 and lab.did == BACK


def test_a_fresh_volume_that_is_not_empty_is_no_fresh_volume(lab: Lab) -> None:
    assert lab.run("--to", "1.19", "--fresh") == 2
    assert not lab.journal["filled"]
    assert lab.run("--undo") == 0
    assert "wipe" not in lab.did, "the old volume was never touched"


def test_a_half_done_upgrade_is_gone_on_with_and_no_other_begun(lab: Lab) -> None:
    lab.run("--to", "1.19", START_NEW_QDRANT_CMD="exit 7")
    assert lab.did
    assert lab.run("--to", "1.20") == 1 and lab.run("--to", "1.19", "--fresh") == 1
    assert lab.did == []
    assert lab.run("--to", "1.19") == 0
    assert lab.did == ["writers off", "start 1.19.0", "writers on"]


def test_a_half_undone_upgrade_can_only_be_undone_to_its_end(lab: Lab) -> None:
    lab.run("--to", "1.19", START_NEW_QDRANT_CMD="exit 7")
    assert lab.run("--undo", START_OLD_QDRANT_CMD="exit 7") == 2
    assert lab.run("--to", "1.19") == 1
    assert lab.run("--undo") == 0 and lab.content == "all"


def test_a_dry_run_and_a_status_change_nothing(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.reader = _Counted  # type: ignore[attr-defined]
    assert lab.run("--to", "1.19", "--dry-run") == 0
    assert lab.run("--to", "1.20", "--dry-run") == 1
    capsys.readouterr()
    assert lab.run("--status") == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["version"], last["last"]) == ("1.18.3", None)
    assert lab.did == [] and not lab.bucket.objects


class _Counted:
    def __init__(self, _name: str) -> None:
        """A collection of three points."""

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def count(self) -> int:
        return 3


@pytest.mark.parametrize(
    ("argv", "more"),
    [
        ((), {}),
        (("--to", "latest"), {}),
        (("--to", "1.19"), {"WIPE_QDRANT_CMD": ""}),
        (("--to", "1.19"), {"STOP_WRITERS_CMD": ""}),
        (("--to", "1.19"), {"START_OLD_QDRANT_CMD": ""}),
    ],
    ids=["nothing", "no version", "no way back", "writers go on", "no old version"],
)
def test_what_is_asked_wrongly_is_a_usage_error(
    lab: Lab, argv: tuple[str, ...], more: dict[str, str]
) -> None:
    assert lab.run(*argv, **more) == 4 and lab.did == []


def test_there_is_nothing_to_undo_before_the_first_upgrade(lab: Lab) -> None:
    assert lab.run("--undo") == 1 and lab.did == []
