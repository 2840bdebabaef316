"""A run's copies of the operator's rules and routes: windows are shortened, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.errors import UsageError
from harness.drivers.compose.state import ComposeState
from harness.drivers.compose.windows import Windows, shortened
from harness.drivers.embedded.rules import scale_rules, shipped_rules

ROOT = Path(__file__).resolve().parents[4]
CONFIG = ROOT / "refstack" / "config"
SERVICES = {
    "metrics": {"service": "prometheus", "port": 9090},
    "alerts": {"service": "alertmanager", "port": 9093},
    "exporter": {"service": "rag-exporter", "port": 8080},
}


def bind(source: Path, target: str) -> dict[str, Any]:
    return {"type": "bind", "source": str(source), "target": target, "read_only": True}


def project() -> dict[str, Any]:
    """The reference project's three services, as Compose resolves them."""
    rules = bind(CONFIG / "prometheus" / "rules", "/etc/prometheus/rules")
    own = bind(CONFIG / "compose" / "prometheus.yml", "/etc/prometheus/prometheus.yml")
    routes = bind(CONFIG / "compose" / "alertmanager.yml", "/etc/alertmanager/alertmanager.yml")
    kept = {"type": "volume", "source": "kept", "target": "/etc"}
    return {
        "services": {
            "prometheus": {
                "command": ["--config.file=/etc/prometheus/prometheus.yml"],
                "volumes": [kept, own, rules],
            },
            "alertmanager": {"volumes": [routes]},
            "rag-exporter": {"environment": {"EXPORTER_S3_URL": "http://minio:9000"}},
        }
    }


def laid(tmp_path: Path, config: dict[str, Any], scale: float = 60) -> Windows:
    state = ComposeState(
        run_id="run-1",
        scratch=str(tmp_path),
        log_dir=str(tmp_path),
        ports={},
        time_scale=scale,
        roles=list(SERVICES),
        services=SERVICES,
    )
    return shortened(state, config)


def copies(windows: Windows, service: str) -> dict[str, str]:
    """What is laid over, by its place in the container."""
    for each in windows.volumes[service]:
        assert each["type"] == "bind" and each["read_only"] is True
        assert Path(each["source"]).stat().st_mode & 0o777 == 0o644
    return {each["target"]: Path(each["source"]).read_text() for each in windows.volumes[service]}


def test_every_rule_file_is_the_shipped_one_with_shortened_windows(tmp_path: Path) -> None:
    found = copies(laid(tmp_path, project()), "prometheus")
    rules = {Path(place).name: text for place, text in found.items() if "/rules/" in place}
    assert rules == {name: scale_rules(text, 60) for name, text in shipped_rules().items()}


def test_prometheus_measures_each_second_what_it_measured_before(tmp_path: Path) -> None:
    found = yaml.safe_load(
        copies(laid(tmp_path, project()), "prometheus")["/etc/prometheus/prometheus.yml"]
    )
    theirs = yaml.safe_load((CONFIG / "compose" / "prometheus.yml").read_text())
    assert found["scrape_configs"] == theirs["scrape_configs"]
    assert set(found["global"].values()) == {"1s"}
    assert {**found, "global": None} == {**theirs, "global": None}


def test_a_jobs_own_interval_gives_way(tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    jobs = [{"job_name": "slow", "scrape_interval": "5m", "scrape_timeout": "1m"}]
    file.write_text(
        yaml.safe_dump({"scrape_configs": jobs, "global": {"external_labels": {"a": "b"}}})
    )
    config = project()
    config["services"]["prometheus"] = {"volumes": [bind(tmp_path, "/etc/prometheus")]}
    (text,) = copies(laid(tmp_path / "run", config), "prometheus").values()
    found = yaml.safe_load(text)
    assert found["scrape_configs"] == [{"job_name": "slow"}]
    assert found["global"]["external_labels"] == {"a": "b"}


def test_waits_of_every_route_are_shortened_and_nothing_else_of_them(tmp_path: Path) -> None:
    found = yaml.safe_load(
        copies(laid(tmp_path, project()), "alertmanager")["/etc/alertmanager/alertmanager.yml"]
    )
    theirs = yaml.safe_load((CONFIG / "compose" / "alertmanager.yml").read_text())
    assert found["route"]["group_interval"] == "5s" and found["route"]["repeat_interval"] == "240s"
    weekday = next(
        each for each in found["route"]["routes"] if each["receiver"] == "weekday-primary"
    )
    assert weekday["group_wait"] == "5s" and weekday["active_time_intervals"] == ["office-hours"]
    for part in ("time_intervals", "receivers"):
        assert found[part] == theirs[part]


def test_the_exporter_measures_each_second(tmp_path: Path) -> None:
    assert laid(tmp_path, project()).environment == {"rag-exporter": {"EXPORTER_INTERVAL_S": "1"}}
    config = project()
    config["services"]["rag-exporter"] = {"environment": {"OTHER": "x"}}
    assert laid(tmp_path / "other", config).environment == {}


def test_real_windows_are_left_alone(tmp_path: Path) -> None:
    assert laid(tmp_path, project(), scale=1) == Windows() and not list(tmp_path.iterdir())


def test_files_that_are_in_an_image_are_told(tmp_path: Path) -> None:
    config = project()
    config["services"]["alertmanager"]["volumes"] = []
    config["services"]["prometheus"]["command"] = ["--config.file", "/opt/prometheus.yml"]
    assert laid(tmp_path, config).unseen == ["metrics", "alerts"]


def test_what_is_no_configuration_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "alertmanager.yml"
    broken.write_text("route: [")
    config = project()
    config["services"]["alertmanager"]["volumes"] = [bind(tmp_path, "/etc/alertmanager")]
    with pytest.raises(UsageError, match="can't be shortened"):
        laid(tmp_path / "run", config)
