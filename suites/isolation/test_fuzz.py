"""isolation/query: whatever the published schema allows or forbids, sent by one of two tenants."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup

from fixtures.canaries import Canaries, leaks
from harness import conformance, needs
from harness.core.evidence import Evidence, Inconclusive
from harness.core.run import Run
from harness.drivers.base import Stack
from harness.drivers.gateway_http import Answer

CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
CI_EXAMPLES, FULL_EXAMPLES = 20, 400
CI_S, FULL_S = 90.0, 150.0
"""Seconds at most for all operations together; what was left out is said."""

LEAST = 5
"""Requests that each operation must have got."""

PATIENCE_S, REQUEST_S = 10.0, 30.0


@dataclass
class Fuzz:
    """Sends what is generated as one tenant, and keeps what no answer may be.

    ``hidden`` are ids of the other tenant's documents, ``words`` their texts.
    """

    url: str
    token: str
    canaries: Canaries
    hunter: str
    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def send(self, case: Any) -> None:
        """Send one case and judge the answer; raises AssertionError when it is wrong."""
        label = case.operation.label
        headers = {"Authorization": f"Bearer {self.token}"}
        give_up = time.monotonic() + PATIENCE_S
        while True:
            response = case.call(
                base_url=self.url, session=self.session, headers=headers, timeout=REQUEST_S
            )
            # A busy machine may make a part late once; a request that always gives 5xx is wrong.
            if response.status_code != 503 or time.monotonic() > give_up:
                break
            time.sleep(0.5)
        self.sent[label] += 1
        self.answered[response.status_code] += 1
        answer = Answer(
            case.method, label, response.status_code,
            {name: str(value) for name, value in response.headers.items()},
            response.content.decode("utf-8", "replace"),
        )  # fmt: skip
        foreign = [c for c in self.canaries.documents if c.tenant != self.hunter]
        found = leaks(answer, foreign)
        if found:
            self._wrong(f"a foreign marker: {found[0]}", case)
        try:
            case.validate_response(response, checks=CHECKS.get_by_names(CHECKED))
        except FailureGroup as group:
            told = [f"{each.title}: {each.message}" for each in group.exceptions]
            self._wrong(" / ".join(" ".join(each.split())[:400] for each in told), case)

    def _wrong(self, what: str, case: Any) -> None:
        command = case.as_curl_command(headers={"Authorization": "Bearer $TOKEN"})
        self.wrong.append((what, command[:3000]))
        raise AssertionError(what)


def aimed(operation: Any, fuzz: Fuzz) -> st.SearchStrategy[Any]:
    """Cases of an operation, right and wrong ones, half of them aimed at the other tenant."""
    foreign = [c for c in fuzz.canaries.documents if c.tenant != fuzz.hunter]
    own = [c for c in fuzz.canaries.documents if c.tenant == fuzz.hunter]
    modes = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]
    writes = operation.label.startswith("POST /v1/documents")

    @st.composite
    def cases(draw: st.DrawFn) -> Any:
        case = draw(st.one_of(*modes))
        if not draw(st.booleans()):
            return case
        if isinstance(case.body, dict):
            case.body["persona"] = draw(st.sampled_from(("work", "personal", "WORK", "*")))
            if "query" in case.body:
                case.body["query"] = draw(st.sampled_from(foreign)).text
            if writes and draw(st.booleans()):
                case.body["document_id"] = draw(st.sampled_from(foreign)).document_id
        if "document_id" in (case.path_parameters or {}):
            case.path_parameters["document_id"] = draw(st.sampled_from(foreign + own)).document_id
        return case

    return cases()


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
@pytest.mark.timeout(280)
def test_no_generated_request_gets_a_foreign_answer_or_a_wrong_one(
    stack: Stack, canaries: Canaries, run: Run, evidence: Evidence
) -> None:
    """Requests generated from the published schema, valid and invalid, aimed at another tenant or
    not, MUST get no foreign marker, no 5xx and no answer that its schema does not describe, and
    MUST leave the other tenant's documents as they are."""
    hunter, quarry = canaries.pair()
    url = stack.endpoint("edge").url
    ci = run.profile == "ci"
    raw = requests.get(f"{url}/openapi.json", timeout=10, proxies={"http": ""}).json()
    until = time.monotonic() + (CI_S if ci else FULL_S)
    fuzz = Fuzz(url, hunter.token, canaries, hunter.id)
    operations = [each.ok() for each in schemathesis.openapi.from_dict(raw).get_all_operations()]
    for left, operation in zip(range(len(operations), 0, -1), operations, strict=True):
        share = max(0.0, until - time.monotonic()) / left
        _explore(fuzz, operation, time.monotonic() + share, ci=ci)
    evidence.measure("requests generated", sum(fuzz.sent.values()), "requests")
    evidence.require(
        "no answer holds a foreign marker, is a 5xx, or breaks its schema",
        not fuzz.wrong,
        expected="what the published schema describes, of the asker's own documents",
        actual=[f"{what}; {command}" for what, command in shortest(fuzz.wrong)[:3]] or "nothing",
    )
    few = {o.label: fuzz.sent[o.label] for o in operations if fuzz.sent[o.label] < LEAST}
    if few and time.monotonic() > until:
        raise Inconclusive(f"there was no time for {LEAST} requests to each operation: {few}")
    evidence.require(
        f"each of {len(operations)} operations was tried, and some requests went through",
        not few and any(status < 300 for status in fuzz.answered),
        expected=f"{LEAST} requests to each, and answers below 300 among them",
        actual=few or dict(fuzz.answered),
    )
    owner = canaries.gateways[quarry.id]
    harmed = [
        canary.document_id
        for canary in canaries.of(quarry.id)
        if canary.marker not in owner.get_document(canary.document_id).text
    ]
    evidence.require(
        "the other tenant's documents are as they were",
        not harmed,
        expected="each is read with its own marker",
        actual=harmed or "as they were",
    )
    _clear(canaries, hunter.id)


def shortest(wrong: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What went wrong, each sort once, by the shortest request that shows it."""
    best: dict[str, tuple[str, str]] = {}
    for what, command in wrong:
        kind = what[:60]
        if kind not in best or len(command) < len(best[kind][1]):
            best[kind] = (what, command)
    return sorted(best.values(), key=lambda each: len(each[1]))


class TimeIsUp(Exception):
    """Raised instead of sending, since generating alone would go on for long."""


def _explore(fuzz: Fuzz, operation: Any, until: float, *, ci: bool) -> None:
    """Send what is generated for one operation until the time (monotonic seconds) is over."""
    chosen = settings(
        max_examples=CI_EXAMPLES if ci else FULL_EXAMPLES,
        derandomize=ci,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )

    @chosen
    @given(aimed(operation, fuzz))
    def once(case: Any) -> None:
        if time.monotonic() > until:
            raise TimeIsUp
        fuzz.send(case)

    run_once: Callable[[], None] = once
    try:
        run_once()
    except TimeIsUp:
        pass
    except BaseException:
        if not fuzz.wrong:
            raise


def _clear(canaries: Canaries, tenant: str) -> None:
    gateway = canaries.gateways[tenant]
    while True:
        page = gateway.list_documents(limit=256).expect(200).json["documents"]
        if not page:
            return
        for row in page:
            gateway.delete_document(row["document_id"]).expect(204, 404)
