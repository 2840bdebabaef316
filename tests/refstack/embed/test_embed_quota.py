"""A provider's quota: so many requests a minute, 429 in OpenAI's shape beyond, and then again."""

from __future__ import annotations

from pathlib import Path

import pytest
from embed_lab import start, stop

from refstack.embed.api import ApiError
from refstack.embed.quota import Quota


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_spent_quota_says_when_to_come_back_and_fills_up_again() -> None:
    clock = Clock()
    quota = Quota(6, clock)
    for _ in range(6):
        quota.take()
    with pytest.raises(ApiError) as refused:
        quota.take()
    assert refused.value.status == 429
    assert refused.value.headers["Retry-After"] == "10"
    assert refused.value.body["error"]["code"] == "rate_limit_exceeded"
    clock.now += 10
    quota.take()
    with pytest.raises(ApiError):
        quota.take()


def test_a_quota_never_saves_up_more_than_a_minute() -> None:
    clock = Clock()
    quota = Quota(3, clock)
    clock.now += 3600
    for _ in range(3):
        quota.take()
    with pytest.raises(ApiError):
        quota.take()


def test_no_quota_refuses_nothing() -> None:
    quota = Quota(0, Clock())
    for _ in range(1000):
        quota.take()


def test_the_worker_keeps_to_its_quota(tmp_path: Path) -> None:
    worker = start(tmp_path / "log", EMBED_REQUESTS_PER_MINUTE="2")
    try:
        assert [worker.embed("text").status_code for _ in range(3)] == [200, 200, 429]
        assert worker.get("/readyz").status_code == 200
    finally:
        stop(worker)
