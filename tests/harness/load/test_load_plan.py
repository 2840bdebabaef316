"""Load plans and schedules: what is refused, and arrivals that are what they claim."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from harness.core.errors import HarnessError
from harness.load.extract import extract
from harness.load.plan import LoadPlan, Request, arrival_times, template_choices

OK = Request("GET", "/ok")


def _plan(**changes: Any) -> LoadPlan:
    settings_ = {"base_url": "http://127.0.0.1:1", "requests": [OK], "rate": 50, "duration_s": 4}
    return LoadPlan(**{**settings_, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"rate": 0},
        {"rate": float("nan")},
        {"duration_s": -1},
        {"timeout_s": 0},
        {"max_in_flight": 0},
        {"requests": []},
        {"base_url": "127.0.0.1:80"},
        {"base_url": "ftp://127.0.0.1"},
        {"arrivals": "closed"},
        {"order": "sorted"},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(HarnessError):
        _plan(**changes)


def test_credentials_in_a_base_url_are_refused_without_being_repeated() -> None:
    with pytest.raises(HarnessError) as caught:
        _plan(base_url="http://user:hunter2@127.0.0.1:1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "get", "path": "/"},
        {"method": "GET", "path": "ok"},
        {"method": "GET", "path": "/a b"},
        {"method": "GET", "path": "/", "headers": {"X": "a\r\nY: b"}},
        {"method": "GET", "path": "/", "weight": 0},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(HarnessError):
        Request(**arguments)


def test_tokens_are_found_in_headers_and_a_plan_is_json() -> None:
    plan = _plan(requests=[Request("GET", "/", headers={"A": "Bearer {token:acme}"}), OK])
    assert plan.tokens() == {"acme"}
    assert json.loads(plan.as_json())["requests"][0]["headers"] == {"A": "Bearer {token:acme}"}


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    rate=st.floats(0.5, 500),
    duration=st.floats(0.1, 20),
    arrivals=st.sampled_from(["poisson", "uniform"]),
)
def test_a_schedule_is_ascending_repeatable_and_never_empty(
    seed: int, rate: float, duration: float, arrivals: str
) -> None:
    plan = _plan(seed=seed, rate=rate, duration_s=duration, arrivals=arrivals)
    times = arrival_times(plan)
    assert len(times) >= 1
    assert (np.diff(times) >= 0).all()
    assert np.array_equal(times, arrival_times(plan))
    if len(times) > 1:
        assert times[-1] <= duration + 1 / rate


def test_poisson_gaps_are_exponential_and_another_seed_gives_others() -> None:
    times = arrival_times(_plan(rate=200, duration_s=60, seed=1))
    assert kstest(np.diff(times), "expon", args=(0, 1 / 200)).pvalue > 0.001
    assert abs(len(times) - 12000) < 5 * np.sqrt(12000)
    assert not np.array_equal(times, arrival_times(_plan(rate=200, duration_s=60, seed=2)))


def test_uniform_arrivals_keep_one_gap() -> None:
    times = arrival_times(_plan(rate=50, duration_s=4, arrivals="uniform"))
    assert len(times) == 200
    assert np.allclose(np.diff(times), 0.02)


def test_templates_come_by_weight_or_in_turn() -> None:
    requests = [Request("GET", "/a", weight=3), Request("GET", "/b")]
    drawn = template_choices(_plan(requests=requests), 8000)
    assert abs(float(np.mean(drawn == 0)) - 0.75) < 0.03
    turn = template_choices(_plan(requests=requests, order="cycle"), 5)
    assert turn.tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("body", "path", "found"),
    [
        (b'{"a": {"b": 1}}', "a.b", 1),
        (b'{"r": [{"id": 1}, {"id": 2}]}', "r.*.id", [1, 2]),
        (b'{"r": [{"id": 1}, {}]}', "r.*.id", [1, None]),
        (b'{"r": 3}', "r.*.id", None),
        (b'{"r": []}', "r.*.id", []),
        (b"no json", "a", None),
        (b"", "a", None),
    ],
)
def test_facts_are_taken_out_of_a_response(body: bytes, path: str, found: Any) -> None:
    assert extract(body, {"x": path}) == {"x": found}
