"""The shipped Alertmanager configuration routes pages by hours, as Alertmanager itself reads it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.drivers.embedded.links import EDGES, proxy_port_name
from harness.drivers.embedded.metrics import Alerts
from harness.drivers.embedded.places import SETUP, system_bin

AMTOOL = system_bin("amtool")
PORTS = {proxy_port_name(edge.name): 20000 + number for number, edge in enumerate(EDGES)}
PORTS["alerts"] = 19999


def rendered(tmp_path: Path, scale: float = 1) -> Path:
    Alerts(tmp_path, PORTS, scale).write()
    return tmp_path / "alertmanager.yml"


def document(tmp_path: Path, scale: float = 1) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(rendered(tmp_path, scale).read_text())
    return loaded


def amtool(*arguments: object) -> str:
    if AMTOOL is None:
        pytest.skip(f"no amtool here; run `{SETUP}`")
    done = subprocess.run(
        [AMTOOL.path, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **Alerts.variables()},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def routes(config: Path, *labels: str) -> list[str]:
    output = amtool("config", "routes", "test", f"--config.file={config}", *labels)
    return output.strip().split(",")


def test_alertmanager_takes_the_configuration(tmp_path: Path) -> None:
    assert "SUCCESS" in amtool("check-config", rendered(tmp_path))


def test_a_page_goes_to_the_chat_and_to_whoever_is_on_call(tmp_path: Path) -> None:
    assert routes(rendered(tmp_path), "severity=page") == ["chat", "weekday-primary", "solo-ops"]


def test_lost_data_also_goes_to_the_datacentre(tmp_path: Path) -> None:
    found = routes(rendered(tmp_path), "severity=page", "impact=data-loss")
    assert found == ["chat", "datacentre", "weekday-primary", "solo-ops"]


def test_the_dead_mans_switch_goes_to_its_watchdog_alone(tmp_path: Path) -> None:
    assert routes(rendered(tmp_path), "severity=none") == ["watchdog"]


def test_what_is_no_page_rings_nobody(tmp_path: Path) -> None:
    assert routes(rendered(tmp_path), "severity=ticket") == ["chat"]


def test_primary_and_rota_never_both_ring_and_never_neither(tmp_path: Path) -> None:
    by_receiver = {
        route["receiver"]: route for route in document(tmp_path)["route"]["routes"][::-1]
    }
    assert by_receiver["weekday-primary"]["active_time_intervals"] == ["office-hours"]
    assert by_receiver["solo-ops"]["mute_time_intervals"] == ["office-hours"]


def test_office_hours_are_those_of_the_guide(tmp_path: Path) -> None:
    (named,) = document(tmp_path)["time_intervals"]
    (interval,) = named["time_intervals"]
    assert interval == {
        "weekdays": ["monday:friday"],
        "times": [{"start_time": "09:00", "end_time": "18:00"}],
        "location": "Europe/Berlin",
    }


def test_phones_ring_after_the_chat_had_time_to_acknowledge(tmp_path: Path) -> None:
    route = document(tmp_path)["route"]
    waits = {
        each["receiver"]: each.get("group_wait", route["group_wait"]) for each in route["routes"]
    }
    assert (waits["chat"], waits["weekday-primary"], waits["solo-ops"]) == ("10s", "300s", "300s")


def test_every_receiver_is_told_when_it_is_over(tmp_path: Path) -> None:
    base = f"http://127.0.0.1:{PORTS[proxy_port_name('alerts-pager')]}"
    for receiver in document(tmp_path)["receivers"]:
        (webhook,) = receiver["webhook_configs"]
        assert webhook == {"url": f"{base}/{receiver['name']}", "send_resolved": True}


def test_a_drill_shortens_the_waits(tmp_path: Path) -> None:
    route = document(tmp_path, 60)["route"]
    assert (route["group_interval"], route["repeat_interval"]) == ("5s", "240s")
