"""maintain/retention-*: what is too old goes, from both stores, and nothing else does."""

from __future__ import annotations

import json
import signal
from datetime import timedelta
from pathlib import Path

from fixtures.scripts import Ran, RunScript, StartScript
from fixtures.shelf import DAYS, Book, Shelf, Stand, lines, named
from fixtures.tenants import Connect
from harness import conformance, needs
from harness.core.evidence import Evidence

SCRIPT = "retention_worker.py"
LIMIT = timedelta(days=DAYS)
TICK = timedelta(microseconds=1)
DONE, REFUSED, USAGE = 0, 1, 4


def _done(evidence: Evidence, what: str, ran: Ran) -> None:
    evidence.require(what, ran.exit_code == DONE, expected=DONE, actual=ran.told)


def _same(one: Stand, other: Stand) -> bool:
    return (one.rows, one.points) == (other.rows, other.points)


def _told(stand: Stand) -> str:
    return f"rows {stand.rows[:12]}, points {stand.points[:12]}, {len(stand.documents)} documents"


def _keys(books: list[Book]) -> set[tuple[str, str, tuple[str, ...]]]:
    return {(*book.key, book.points) for book in books}


def _gone(evidence: Evidence, shelf: Shelf, due: list[Book], rest: Stand) -> Stand:
    """Require that the due ones, and nothing else of anybody, have left both stores."""
    left = shelf.stand(everybody=True)
    still = {book.key for book in due} & left.documents
    evidence.require(
        "no document that is due is left in the metadata store",
        not still,
        expected="none",
        actual=sorted(still)[:5] or "none",
    )
    points = {point for book in due for point in book.points}
    there = {name: len(ids & points) for name, ids in left.ids.items()}
    evidence.require(
        "no point of theirs is left in any collection",
        not any(there.values()),
        expected="none",
        actual=there,
    )
    evidence.require(
        "everything else is as it was, in both stores and of every tenant",
        _same(rest, left),
        expected=_told(rest),
        actual=_told(left),
    )
    return left


@conformance("maintain/retention-dry-run", since="0.2")
@needs("write", roles=["vectordb", "metadata", "edge"])
def test_a_dry_run_names_what_a_run_removes_and_changes_nothing(
    shelf: Shelf, run_script: RunScript, tmp_path: Path, evidence: Evidence
) -> None:
    """A dry run of the prune MUST change nothing in either store, and name exactly the documents
    and points that a run at the same moment removes."""
    first, second = shelf.tenant("elm"), shelf.tenant("fir")
    old = shelf.put(first, {"old": LIMIT + timedelta(days=1), "older": 4 * LIMIT})
    young = shelf.put(first, {"young": timedelta(days=89), "new": timedelta()})
    foreign = shelf.put(second, {"old": 2 * LIMIT, "young": timedelta(days=1)})
    due = [*old.values(), foreign["old"]]
    options = (*shelf.as_of, *shelf.only, "--at-most", "100%")
    before = shelf.stand()
    dry = run_script(SCRIPT, "--dry-run", *options, "--out", str(tmp_path / "dry"))
    after = shelf.stand()
    _done(evidence, "the dry run can be made", dry)
    evidence.require(
        "a dry run changes nothing in either store",
        _same(before, after),
        expected=_told(before),
        actual=_told(after),
    )
    told = named(tmp_path / "dry" / "due.jsonl")
    evidence.require(
        "it names the documents that are due, with their points",
        told == _keys(due),
        expected=sorted(book.key for book in due),
        actual=sorted(each[:2] for each in told),
    )
    ran = run_script(SCRIPT, *options, "--out", str(tmp_path / "real"))
    _done(evidence, "the run can be made", ran)
    removed = named(tmp_path / "real" / "removed.jsonl")
    evidence.require(
        "the run removes exactly what the dry run named",
        removed == told
        and dry.event("finished").get("digest") == ran.event("finished").get("digest"),
        expected=sorted(each[:2] for each in told),
        actual=sorted(each[:2] for each in removed),
    )
    left = shelf.stand()
    evidence.require(
        "what it names is gone then, and what it does not name is there",
        left.documents == {book.key for book in (*young.values(), foreign["young"])},
        actual=sorted(left.documents),
    )


@conformance("maintain/retention-prune", since="0.2")
@needs("destroy", roles=["vectordb", "metadata", "edge"])
def test_what_is_older_goes_from_both_stores_and_nothing_younger(
    shelf: Shelf, run_script: RunScript, connect: Connect, tmp_path: Path, evidence: Evidence
) -> None:
    """The prune MUST remove every document of the hot tier that is older than 90 days, or than its
    tenant's own days, with all of its points from every collection, and nothing else: none that is
    exactly so old, of another tier, without a date, or of another tenant."""
    usual, long, short, ever = (shelf.tenant(name) for name in ("ash", "bay", "cob", "dew"))
    own = shelf.put(usual, {
        "just-over": LIMIT + TICK, "exactly": LIMIT, "just-under": LIMIT - TICK,
        "over": LIMIT + timedelta(days=1), "old": 5 * LIMIT, "same-name": 2 * LIMIT,
        "cold": 5 * LIMIT, "undated": None, "today": timedelta(),
        **{f"young-{n}": timedelta(days=n) for n in range(6)},
    })  # fmt: skip
    shelf.shelve(own["cold"], "cold")
    kept = shelf.put(long, {"same-name": timedelta(days=3), "old": 3 * LIMIT, "y": TICK})
    gone = shelf.put(long, {"oldest": timedelta(days=366)})
    brief = shelf.put(short, {"old": timedelta(days=31), "young": timedelta(days=29)})
    shelf.put(ever, {"old": 20 * LIMIT})
    due = [own[n] for n in ("just-over", "over", "old", "same-name")]
    due += [gone["oldest"], brief["old"]]
    former = shelf.copy_to_former_models(own["old"])
    evidence.measure("collections of former models", len(former), "count")
    if not shelf.settled():
        evidence.inconclusive("the gateway still removes what earlier cases deleted")
    rest = shelf.stand(without=due, everybody=True)
    ran = run_script(
        SCRIPT,
        *shelf.as_of,
        *("--out", str(tmp_path)),
        *("--tenant-days", f"{long.id}=365"),
        *("--tenant-days", f"{short.id}=30"),
        *("--tenant-days", f"{ever.id}=never"),
    )
    _done(evidence, "the prune can be made", ran)
    left = _gone(evidence, shelf, due, rest)
    evidence.require(
        "a document that is exactly 90 days old, or younger by a microsecond, is there",
        {own["exactly"].key, own["just-under"].key} <= left.documents,
        actual=sorted(left.documents),
    )
    warned = ran.event("documents_undated").get("documents", [])
    evidence.require(
        "a document without a date is reported, and stays",
        [usual.id, "undated"] in [[e["tenant_id"], e["document_id"]] for e in warned],
        expected=[usual.id, "undated"],
        actual=warned,
    )
    evidence.require(
        "the record names exactly what went, and the run says by whom and when",
        named(tmp_path / "removed.jsonl") == _keys(due)
        and {"by", "began", "cutoff"}
        <= json.loads((tmp_path / "retention.json").read_text()).keys(),
        expected=sorted(book.key for book in due),
        actual=sorted((e["tenant"], e["document"]) for e in lines(tmp_path / "removed.jsonl")),
    )
    statuses = {
        (tenant.id, name): connect(tenant.token).get_document(name).status
        for tenant, name in ((usual, "same-name"), (long, "same-name"), (usual, "exactly"))
    }
    evidence.require(
        "the gateway knows what went no more, and answers with what stayed",
        list(statuses.values()) == [404, 200, 200],
        expected=[404, 200, 200],
        actual={f"{tenant}/{name}": status for (tenant, name), status in statuses.items()},
        kept=len(kept),
    )


@conformance("maintain/retention-prune", since="0.2")
@needs("write", roles=["vectordb", "metadata", "edge"])
def test_absurd_input_is_refused_and_removes_nothing(
    shelf: Shelf, start_script: StartScript, tmp_path: Path, evidence: Evidence
) -> None:
    """The prune MUST refuse fewer days than one, a moment that lies ahead, and to take more of all
    documents than it was allowed, and change nothing then."""
    tenant = shelf.tenant("gum")
    shelf.put(tenant, {"old": 2 * LIMIT, "young": timedelta()})
    ahead = (shelf.moment + timedelta(days=365)).isoformat()
    asked = {
        "no days at all": (("--days", "0"), USAGE),
        "a moment that lies ahead": (("--as-of", ahead), USAGE),
        "more than its share": ((*shelf.as_of, "--at-most", "0.000001"), REFUSED),
    }
    before = shelf.stand()
    running = {
        what: start_script(SCRIPT, *given, *shelf.only, "--out", str(tmp_path / str(number)))
        for number, (what, (given, _)) in enumerate(asked.items())
    }
    for what, each in running.items():
        ran, code = each.finish(), asked[what][1]
        evidence.require(
            f"{what} is refused, and says what to do",
            ran.exit_code == code and "next:" in ran.stderr,
            expected=f"exit code {code}",
            actual=ran.told,
        )
    after = shelf.stand()
    evidence.require(
        "nothing is removed by any of them",
        _same(before, after),
        expected=_told(before),
        actual=_told(after),
    )


@conformance("maintain/retention-prune", since="0.2", profiles=("full",))
@needs("destroy", roles=["vectordb", "metadata", "edge"])
def test_an_interrupted_prune_is_finished_by_the_next(
    shelf: Shelf,
    start_script: StartScript,
    run_script: RunScript,
    tmp_path: Path,
    evidence: Evidence,
) -> None:
    """A prune that is killed midway MUST be finished by running it again: every removed document is
    on record once, and no store holds what the other lacks."""
    tenant = shelf.tenant("hop")
    due = [*shelf.put(tenant, {f"old-{n:03d}": 2 * LIMIT for n in range(60)}).values()]
    shelf.put(tenant, {f"young-{n:03d}": timedelta(days=n) for n in range(9)})
    if not shelf.settled():
        evidence.inconclusive("the gateway still removes what earlier cases deleted")
    rest = shelf.stand(without=due, everybody=True)
    options = (*shelf.as_of, *shelf.only, "--at-most", "100%", "--out", str(tmp_path))
    running = start_script(SCRIPT, *options, "--batch", "2")
    running.wait_for_event("pruned_batch")
    running.kill(signal.SIGKILL)
    killed = running.finish(30)
    left = shelf.stand()
    evidence.measure("documents left by the killed run", len(left.documents) - 9, "count")
    evidence.require(
        "a killed run leaves no chunk without its point",
        shelf.owned() <= frozenset().union(*left.ids.values()),
        actual=f"{len(shelf.owned() - frozenset().union(*left.ids.values()))} without",
    )
    _done(evidence, "the next run goes on", run_script(SCRIPT, *options))
    _gone(evidence, shelf, due, rest)
    on_record = [(each["tenant"], each["document"]) for each in lines(tmp_path / "removed.jsonl")]
    evidence.require(
        "every removed document is on record, once",
        sorted(on_record) == sorted(book.key for book in due),
        expected=len(due),
        actual=f"{len(on_record)} lines, {len(set(on_record))} documents; {killed.exit_code}",
    )
    evidence.require(
        "nothing is left on the list of points to remove",
        shelf.listed() == 0,
        expected=0,
        actual=shelf.listed(),
    )
