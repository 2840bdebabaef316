"""isolation/query and isolation/under-fault: random histories against a model of who sees what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from fixtures.namespace_explore import explore
from fixtures.namespace_model import Bench, NamespaceMachine, make_actors
from fixtures.namespace_script import script
from fixtures.namespace_upheaval import Control, ShakenMachine, play_fixed
from fixtures.tokens import Forger
from harness import conformance, needs
from harness.core.evidence import Evidence, Inconclusive
from harness.core.run import Run
from harness.drivers.base import Stack
from harness.drivers.gateway_http import AuthClient

CI_EXAMPLES, FULL_EXAMPLES = 14, 400
CI_S, FULL_S = 120.0, 90.0
"""Seconds at most. In profile ci the examples are the same every time and end long before that."""

SHAKEN_S, FULL_SHAKEN_S = 180.0, 180.0
SHAKEN_SHORTEN_S, FULL_SHAKEN_SHORTEN_S = 12.0, 60.0
"""A restart takes a second or two, so all of it takes longer where roles are restarted."""

CI_UPHEAVALS = {"restart": 5, "rotate": 3, "end": 1}
"""How often at most; the fixed history, which is played first, has 2, 2 and 1 of them."""

LEAST_REQUESTS, LEAST_SHAKEN = 150, 25
"""Fewer show nothing: an example takes about twenty-five, and the fixed history a few more."""


@pytest.fixture
def bench(stack: Stack, auth: AuthClient, forger: Forger) -> Iterator[Bench]:
    """Users of several tenants, and a record of what they were shown."""
    made = Bench(stack.endpoint("edge").url, make_actors(auth, forger))
    yield made
    made.close()


def judge(evidence: Evidence, run: Run, bench: Bench, least: int) -> None:
    """Require that nothing went wrong; print and keep the shortest script that shows it.

    Raises:
        NotConformant: something did.
        Inconclusive: the time was over before enough was asked.
    """
    evidence.measure("requests held against the model", bench.requests, "requests")
    if bench.wrong:
        found = bench.shortest()
        program = script(bench, found)
        kept = _keep(run, evidence.case, program)
        print(program)
        evidence.require(
            "every answer is as the model of who may see what says",
            False,
            expected=found.last.note,
            actual=f"{found.what} (after {found.length}; the script is {kept})",
            script=program,
        )
    enough = bench.requests >= least and bench.kinds >= {"POST 200", "POST 201"}
    if not enough and bench.spent:
        raise Inconclusive(f"there was time for {bench.requests} of {least} requests only")
    evidence.require(
        f"enough was asked: {least} requests at least, of every sort",
        enough,
        expected=f"{least} requests, with writes and queries that succeed among them",
        actual=f"{bench.requests}: {sorted(bench.kinds)}",
    )
    evidence.require(
        f"each of {bench.requests} answers is as the model of who may see what says",
        not bench.wrong,
        expected="no difference",
        actual="none",
    )


def _keep(run: Run, case: str, program: str) -> str:
    name = "".join(c if c.isalnum() else "-" for c in case)
    path = run.directory / "counterexamples" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(program, encoding="utf-8")
    return str(path.relative_to(run.directory))


def made(run: Run, *, examples: int, steps: int) -> settings:
    """How Hypothesis explores: the same every time in profile ci, else at random with a memory."""
    common = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    if run.profile == "ci":
        return settings(common, derandomize=True, database=None)
    memory = Path(run.directory).parent / "hypothesis"
    return settings(common, database=DirectoryBasedExampleDatabase(memory))


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_no_history_of_requests_shows_what_the_model_hides(
    bench: Bench, run: Run, evidence: Evidence
) -> None:
    """Whatever users of several tenants write, replace, move to another persona, delete and ask,
    with full, limited and expired tokens, each answer MUST hold exactly what its asker may see."""
    machine = type("Namespaces", (NamespaceMachine,), {"bench": bench})
    seconds = CI_S if run.profile == "ci" else FULL_S
    examples = CI_EXAMPLES if run.profile == "ci" else FULL_EXAMPLES
    explore(machine, bench, made(run, examples=examples, steps=16), seconds)
    judge(evidence, run, bench, LEAST_REQUESTS)


@conformance("isolation/under-fault", since="0.2")
@needs(
    "read",
    "write",
    "restart",
    "fault",
    roles=["edge", "auth", "vectordb", "metadata"],
    features=["native-api"],
)
def test_no_history_with_upheavals_shows_what_the_model_hides(
    stack: Stack, auth: AuthClient, forger: Forger, run: Run, bench: Bench, evidence: Evidence
) -> None:
    """While roles are restarted and killed, signing keys changed and tokens at their end between
    the requests of several tenants, each answer MUST hold exactly what its asker may see, and a
    token that has ended or whose key is retired MUST open nothing."""
    ci = run.profile == "ci"
    limits = CI_UPHEAVALS if ci else dict.fromkeys(CI_UPHEAVALS, 10_000)
    seconds, shorten_s = SHAKEN_S, SHAKEN_SHORTEN_S
    if not ci:
        seconds, shorten_s = FULL_SHAKEN_S, FULL_SHAKEN_SHORTEN_S
    control = Control(stack, auth, forger, limits)
    parts = {"bench": bench, "control": control, "most": 2 if ci else 4}
    machine = type("ShakenNamespaces", (ShakenMachine,), parts)
    try:
        over = time.monotonic() + seconds
        play_fixed(machine, bench, seconds=seconds, shorten_s=shorten_s)
        if not bench.wrong:
            chosen = made(run, examples=4 if ci else 100, steps=10 if ci else 24)
            explore(machine, bench, chosen, over - time.monotonic(), shorten_s)
    finally:
        control.put_back()
    done = {sort: control.done[sort] for sort in CI_UPHEAVALS}
    evidence.measure("upheavals between the requests", sum(done.values()), "upheavals")
    judge(evidence, run, bench, LEAST_SHAKEN)
    evidence.require(
        "roles were restarted and killed, signing keys changed, and a token came to its end",
        all(done.values()),
        expected="each at least once",
        actual=done,
    )
