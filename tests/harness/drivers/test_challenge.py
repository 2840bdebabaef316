"""A target may be harmed only when it is no production and has answered its operator's token."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import TargetError, UsageError
from harness.core.target import TargetFile
from harness.drivers import challenge
from harness.drivers.attach import attached

TOKEN = "a-token-that-was-placed-here"


class Places(http.server.BaseHTTPRequestHandler):
    """A vector store with one alias, and an edge that serves a text."""

    def do_GET(self) -> None:
        alias = {"alias_name": f"ragdrill-challenge-{TOKEN}", "collection_name": "chunks"}
        body = {
            "/aliases": json.dumps({"result": {"aliases": [alias]}}),
            "/collections": "{}",
            "/readyz": "{}",
            challenge.WELL_KNOWN: f"{TOKEN}\n",
        }.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or "")))
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Places)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def target(*roles: str, url: str = "http://127.0.0.1:9", **section: object) -> TargetFile:
    given = {"driver": "attach", "allow": ["read", "destroy"], **section}
    return TargetFile.model_validate({"target": given, "roles": {r: {"url": url} for r in roles}})


@pytest.mark.parametrize(
    ("section", "url"),
    [
        ({"name": "production"}, None),
        ({"name": "eu-prod-1"}, None),
        ({"name": "shop", "tags": ["team-a", "LIVE"]}, None),
        ({"name": "shop"}, "http://qdrant.prod.example.org:6333"),
        ({"name": "prod2"}, None),
    ],
)
def test_what_calls_itself_production_is_never_harmed(
    section: dict[str, object], url: str | None
) -> None:
    with pytest.raises(UsageError, match="production by the"):
        challenge.refuse_production(target("vectordb", url=url or "http://127.0.0.1:9", **section))


def test_production_may_be_read_and_written() -> None:
    challenge.refuse_production(target("vectordb", name="production", allow=["read", "write"]))


@pytest.mark.parametrize("name", ["staging", "reproduction", "product-search", "olive", "alive"])
def test_other_names_are_no_production(name: str) -> None:
    challenge.refuse_production(target("vectordb", name=name, tags=["deliver", "prodigy"]))


@pytest.mark.parametrize("role", ["vectordb", "edge", "gateway"])
def test_a_target_with_the_operators_token_is_let_through(
    role: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACED", TOKEN)
    file = target(role, url=url, challenge_env="PLACED")
    attached("run", tmp_path, file).up()


@pytest.mark.parametrize("role", ["vectordb", "edge"])
def test_another_token_stops_everything_before_it_begins(
    role: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACED", "another-token-of-nobody")
    file = target(role, url=url, challenge_env="PLACED")
    with pytest.raises(TargetError, match="has not answered its challenge") as caught:
        attached("run", tmp_path, file).up()
    assert "ragdrill challenge" in str(caught.value)


def test_each_store_answers_for_itself(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACED", TOKEN)
    roles = {
        "vectordb": {"url": url},
        "metadata": {"url": "postgresql://nobody@127.0.0.1:9/rag"},
        "objectstore": {"url": "http://127.0.0.1:9", "bucket": "backups"},
    }
    file = TargetFile.model_validate(
        {"target": {"driver": "attach", "challenge_env": "PLACED"}, "roles": roles}
    )
    problems = challenge.unanswered(attached("run", tmp_path, file), file)
    assert set(problems) == {"metadata", "objectstore"}


def incident(url: str, *, metadata: str) -> TargetFile:
    """A target whose vector store answers, and whose metadata store is at this address."""
    section = {"driver": "attach", "allow": ["restart"], "challenge_env": "PLACED"}
    roles = {"vectordb": {"url": url}, "metadata": {"url": metadata}}
    return TargetFile.model_validate({"target": section, "roles": roles})


def test_in_an_incident_a_store_that_is_silent_is_excused_by_another_that_answers(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACED", TOKEN)
    file = incident(url, metadata="postgresql://nobody@127.0.0.1:9/rag")
    stack = attached("run", tmp_path, file)
    challenge.require_answer(stack, file, incident=True)
    with pytest.raises(TargetError, match="has not answered its challenge"):
        challenge.require_answer(stack, file)


def test_in_an_incident_silence_alone_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACED", TOKEN)
    file = incident("http://127.0.0.1:9", metadata="postgresql://nobody@127.0.0.1:9/rag")
    with pytest.raises(TargetError, match="has not answered its challenge"):
        challenge.require_answer(attached("run", tmp_path, file), file, incident=True)


def test_in_an_incident_a_store_that_says_another_thing_is_not_excused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACED", "another-token-of-nobody")
    file = incident(url, metadata="postgresql://nobody@127.0.0.1:9/rag")
    with pytest.raises(TargetError, match="no alias carries the token"):
        challenge.require_answer(attached("run", tmp_path, file), file, incident=True)


def test_nothing_harmful_needs_no_challenge(url: str, tmp_path: Path) -> None:
    attached("run", tmp_path, target("vectordb", url=url, allow=["read", "write"])).up()


@pytest.mark.parametrize("token", ["short", "with a space in it, and long"])
def test_an_unusable_token_is_refused(
    token: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACED", token)
    file = target("vectordb", url=url, challenge_env="PLACED")
    with pytest.raises(UsageError, match="unusable form"):
        attached("run", tmp_path, file).up()


def test_a_file_without_a_challenge_says_how_to_get_one(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ragdrill challenge"):
        attached("run", tmp_path, target("vectordb", url=url)).up()


def test_the_commands_place_the_token_in_each_store(tmp_path: Path) -> None:
    roles = {
        "vectordb": {"url": "http://127.0.0.1:6333"},
        "metadata": {"url": "postgresql://admin@127.0.0.1:5432/rag"},
        "objectstore": {"url": "http://127.0.0.1:9000", "bucket": "backups"},
    }
    file = TargetFile.model_validate({"target": {"driver": "attach"}, "roles": roles})
    told = challenge.commands(attached("run", tmp_path, file), file, TOKEN)
    assert set(told) == set(roles)
    assert all(TOKEN in command for command in told.values())
    assert "s3://backups/" in told["objectstore"] and "DATABASE rag " in told["metadata"]


@pytest.mark.parametrize(
    ("said", "excused"),
    [
        ({}, True),
        ({"target": "another"}, False),
        ({"mark": "of-another-token"}, False),
        ({"mark": ""}, False),
        ({"roles": ["vectordb"]}, False),
    ],
)
def test_only_what_the_resumed_drill_wiped_here_is_excused(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, object],
    excused: bool,
) -> None:
    monkeypatch.setenv("TOKEN_HERE", TOKEN)
    section = {"driver": "attach", "allow": ["destroy"], "challenge_env": "TOKEN_HERE"}
    gone = {"url": "postgresql://nobody@127.0.0.1:9/none"}
    staging = TargetFile.model_validate(
        {"target": section, "roles": {"vectordb": {"url": url}, "metadata": gone}}
    )
    stack = attached("run", tmp_path, staging)
    assert set(challenge.unanswered(stack, staging)) == {"metadata"}
    true = {"target": staging.target.name, "mark": challenge.mark(staging), "roles": ["metadata"]}
    (tmp_path / "drill.json").write_text(json.dumps({"facts": {"wiped": {**true, **said}}}))
    monkeypatch.setenv("DRILL_RESUME", str(tmp_path))
    assert set(challenge.unanswered(stack, staging)) == (set() if excused else {"metadata"})


def test_when_all_that_could_answer_was_wiped_all_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_HERE", TOKEN)
    staging = target("vectordb", challenge_env="TOKEN_HERE")
    wiped = {"target": staging.target.name, "mark": challenge.mark(staging), "roles": ["vectordb"]}
    (tmp_path / "drill.json").write_text(json.dumps({"facts": {"wiped": wiped}}))
    monkeypatch.setenv("DRILL_RESUME", str(tmp_path))
    stack = attached("run", tmp_path, staging)
    assert set(challenge.unanswered(stack, staging)) == {"vectordb"}


def test_a_resumed_drill_excuses_the_store_it_wiped_and_no_other_place(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACED", TOKEN)
    monkeypatch.setenv("DRILL_RESUME", str(tmp_path))

    def file(metadata: str) -> TargetFile:
        roles = {"vectordb": {"url": url}, "metadata": {"url": metadata}}
        return TargetFile.model_validate(
            {"target": {"driver": "attach", "challenge_env": "PLACED"}, "roles": roles}
        )

    drilled, moved = (file(f"postgresql://nobody@127.0.0.{n}:9/rag") for n in (1, 2))
    wiped = {"target": "reference", "mark": challenge.mark(drilled), "roles": ["metadata"]}
    (tmp_path / "drill.json").write_text(json.dumps({"facts": {"wiped": wiped}}))
    assert not challenge.unanswered(attached("run", tmp_path, drilled), drilled)
    assert set(challenge.unanswered(attached("run", tmp_path, moved), moved)) == {"metadata"}
    monkeypatch.setenv("PLACED", TOKEN + "-2")
    assert set(challenge.unanswered(attached("run", tmp_path, drilled), drilled)) == {
        "vectordb",
        "metadata",
    }


def test_a_resumed_drill_may_find_what_rests_on_the_stores_that_it_wiped_not_ready(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACED", TOKEN)
    nowhere = "http://127.0.0.1:9"
    given = {"driver": "attach", "allow": ["read", "destroy"], "challenge_env": "PLACED"}
    roles = {"vectordb": {"url": url}, "gateway": {"url": nowhere}, "rerank": {"url": url}}
    file = TargetFile.model_validate({"target": given, "roles": roles})
    stack = attached("run", tmp_path, file)
    with pytest.raises(TargetError, match="gateway"):
        stack.up()
    wiped = {"target": "reference", "mark": challenge.mark(file), "roles": ["vectordb"]}
    (tmp_path / "drill.json").write_text(json.dumps({"facts": {"wiped": wiped}}))
    monkeypatch.setenv("DRILL_RESUME", str(tmp_path))
    stack.up()
    roles["rerank"] = {"url": nowhere}
    unready = TargetFile.model_validate({"target": given, "roles": roles})
    with pytest.raises(TargetError, match="rerank"):
        attached("run", tmp_path, unready).up()
