"""The shipped latency rule fires when it must, and at no other time, by promtool's reckoning."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from harness.drivers.embedded.places import CONFIG, SETUP, system_bin
from harness.drivers.embedded.rules import scale_rules

RULES = CONFIG / "prometheus" / "rules"
PROMTOOL = system_bin("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason=f"no promtool here; run `{SETUP}`")

STEPS_A_MINUTE = 4
LENGTH_MIN = 60
BUCKET = "rag_gateway_query_latency_seconds_bucket"


@dataclass(frozen=True)
class Spell:
    """``minutes`` in which ``slow`` of every 100 queries (in 15 s) took 250 to 500 ms."""

    minutes: int
    slow: int

    def series(self) -> list[dict[str, str]]:
        """Counters of buckets: the spell, then fast queries only."""
        steps = self.minutes * STEPS_A_MINUTE
        rest = LENGTH_MIN * STEPS_A_MINUTE - steps
        fast = 100 - self.slow
        return [
            {
                "series": f'{BUCKET}{{le="{edge}", instance="gateway-blue"}}',
                "values": f"0+{during}x{steps} {during * steps + 100}+100x{rest - 1}",
            }
            for edge, during in (("0.1", fast // 2), ("0.25", fast), ("0.5", 100), ("+Inf", 100))
        ]


def firing(tmp_path: Path, spell: Spell, rule_file: Path = RULES / "latency.yml") -> list[int]:
    """The minutes at which the alert fires; every minute is asked for."""
    minutes = []
    # promtool compares with what is expected, so silence is expected and every complaint counted.
    document = {
        "rule_files": [str(rule_file)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": spell.series(),
                "alert_rule_test": [
                    {
                        "eval_time": f"{minute}m",
                        "alertname": "RAG_P95_Latency_High",
                        "exp_alerts": [],
                    }
                    for minute in range(LENGTH_MIN)
                ],
            }
        ],
    }
    path = tmp_path / "unit.yml"
    path.write_text(yaml.safe_dump(document))
    done = promtool("test", "rules", path)
    for line in (done.stdout + done.stderr).splitlines():
        if "time:" in line and "alertname" in line:
            minutes.append(_minute(line.split("time:")[1].split(",")[0].strip()))
    assert (done.returncode == 0) == (not minutes), done.stdout + done.stderr
    return minutes


def _minute(duration: str) -> int:
    hours, _, rest = duration.rpartition("h")
    return int(hours or 0) * 60 + int(rest.partition("m")[0] or 0 if "m" in rest else 0)


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL.path, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_pages_when_p95_stays_just_above_for_ten_minutes(tmp_path: Path) -> None:
    minutes = firing(tmp_path, Spell(minutes=25, slow=6))
    # It cannot know before minute 10, and knows by minute 11; the window then has to empty.
    assert minutes[0] in (10, 11)
    assert minutes == list(range(minutes[0], minutes[-1] + 1)), "no gap while it lasts"
    assert 25 <= minutes[-1] <= 30


@pytest.mark.parametrize("slow", [0, 4, 5])
def test_it_is_silent_at_or_below_the_objective(tmp_path: Path, slow: int) -> None:
    assert firing(tmp_path, Spell(minutes=40, slow=slow)) == []


def test_it_is_silent_when_that_lasts_too_short(tmp_path: Path) -> None:
    # Even with the five minutes for which the window remembers, this is less than ten.
    assert firing(tmp_path, Spell(minutes=5, slow=6)) == []


def test_it_is_silent_without_any_query(tmp_path: Path) -> None:
    assert firing(tmp_path, Spell(minutes=0, slow=0)) == []


def test_a_shortened_copy_pages_too_and_sooner(tmp_path: Path) -> None:
    copy = tmp_path / "latency.yml"
    copy.write_text(scale_rules((RULES / "latency.yml").read_text(), 5))
    minutes = firing(tmp_path, Spell(minutes=25, slow=6), copy)
    assert minutes[0] in (2, 3)
    assert firing(tmp_path, Spell(minutes=40, slow=5), copy) == []


def test_every_shipped_rule_file_is_valid_and_says_what_to_do() -> None:
    files = sorted(RULES.glob("*.yml"))
    assert files
    assert promtool("check", "rules", *files).returncode == 0
    for path in files:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    assert rule["labels"]["severity"] in ("page", "ticket", "none"), rule["alert"]
                    assert {"summary", "runbook"} <= set(rule["annotations"]), rule["alert"]
