"""Prometheus and Alertmanager for one run: configuration and commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.core.errors import TargetError
from harness.drivers.embedded.links import proxy_port_name
from harness.drivers.embedded.places import CONFIG, Binary, package_dir
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.rules import scale_rules, scaled, shipped_rules
from harness.drivers.embedded.state import write_private

# Live drills cannot wait for a scrape every 15 s.
INTERVAL = "1s"
KEY_FILE = "vectordb.key"
"""Beside the configuration: what Prometheus shows the vector store."""


@dataclass(frozen=True)
class Metrics:
    """One run's Prometheus in ``directory``."""

    directory: Path
    ports: Mapping[str, int]
    time_scale: float
    alerts: bool

    def write(self, vectordb_key: str) -> None:
        """Render the configuration, and the rules with shortened windows."""
        rules = self.directory / "rules"
        rules.mkdir(mode=0o700, exist_ok=True)
        for name, text in scaled_rules(self.time_scale).items():
            (rules / name).write_text(text)
        write_private(self.directory / KEY_FILE, vectordb_key)
        write_private(
            self.directory / "prometheus.yml",
            prometheus_config(
                self._link,
                self.time_scale,
                objectstore=f"{HOST}:{self.ports['objectstore-metrics']}",
                alerts=self.alerts,
            ),
        )

    def _link(self, name: str) -> str:
        return f"{HOST}:{self.ports[proxy_port_name(name)]}"

    def command(self, binary: Binary) -> list[str]:
        return [
            str(binary.path),
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={HOST}:{self.ports['metrics']}",
            "--web.enable-lifecycle",
            *prometheus_flags(self.time_scale),
        ]


@dataclass(frozen=True)
class Alerts:
    """One run's Alertmanager in ``directory``."""

    directory: Path
    ports: Mapping[str, int]
    time_scale: float

    def write(self) -> None:
        """Render the configuration; raises TargetError where this machine knows no time zones."""
        if self.variables().get("ZONEINFO") == "":
            raise TargetError(
                "There is no time zone database, so pages cannot be routed by office hours.",
                expected="/usr/share/zoneinfo, or the Python package tzdata",
                actual="neither",
                next_step="apt-get install tzdata, or pip install tzdata",
            )
        self.directory.mkdir(mode=0o700, exist_ok=True)
        pager = f"http://{HOST}:{self.ports[proxy_port_name('alerts-pager')]}"
        write_private(
            self.directory / "alertmanager.yml",
            alertmanager_config(pager, self.time_scale),
        )

    def command(self, binary: Binary) -> list[str]:
        return [
            str(binary.path),
            f"--config.file={self.directory / 'alertmanager.yml'}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address={HOST}:{self.ports['alerts']}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]

    @staticmethod
    def variables() -> dict[str, str]:
        """Where to read time zones, unless the system has them."""
        if Path("/usr/share/zoneinfo/Europe/Berlin").exists():
            return {}
        package = package_dir("tzdata")
        return {"ZONEINFO": str(package / "zoneinfo") if package else ""}


def prometheus_flags(time_scale: float) -> list[str]:
    """What Prometheus is told on its command line, wherever it runs."""
    return [
        "--storage.tsdb.retention.time=7d",
        # Alertmanager forgets an alert that it was not told of for four of these. Were that
        # less than a restart of Prometheus takes, every alert would end with it.
        "--rules.alert.resend-delay=5s",
        f"--rules.alert.for-grace-period={scaled('10m', time_scale)}",
        "--log.level=warn",
    ]


def scaled_rules(time_scale: float) -> dict[str, str]:
    """The shipped rule files with shortened windows, by name."""
    return {name: scale_rules(text, time_scale) for name, text in shipped_rules().items()}


def prometheus_config(
    link: Callable[[str], str], time_scale: float, *, objectstore: str | None, alerts: bool
) -> str:
    """What is scraped: ``link`` gives ``host:port`` of a link's fault proxy.

    ``objectstore`` is where the object store exports figures, if it does; ``alerts`` whether there
    is an Alertmanager.
    """
    ours = ("auth", "exporter", "gpu", "logs", "logship")
    jobs = [
        {
            "name": "gateway",
            "targets": {
                f"gateway-{colour}": link(f"metrics-gateway-{colour}")
                for colour in ("blue", "green")
            },
        },
        {"name": "embed", "targets": {"embed": link("metrics-embed")}},
        {"name": "rerank", "targets": {"rerank": link("metrics-rerank")}},
        {
            "name": "vectordb",
            "key_file": KEY_FILE,
            "targets": {"vectordb": link("metrics-vectordb")},
        },
        *({"name": name, "targets": {name: link(f"metrics-{name}")}} for name in ours),
    ]
    if objectstore is not None:
        jobs.append({"name": "objectstore", "targets": {"objectstore": objectstore}})
    return _render(
        "prometheus",
        "prometheus.yml.j2",
        time_scale,
        interval=INTERVAL,
        alertmanager=link("metrics-alerts") if alerts else None,
        jobs=jobs,
    )


def alertmanager_config(pager: str, scale: float) -> str:
    """The shipped routes: receivers below the URL ``pager``, every wait divided by ``scale``."""
    return _render("alertmanager", "alertmanager.yml.j2", scale, pager=pager)


def _render(folder: str, template: str, scale: float, **values: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(CONFIG / folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["scaled"] = lambda duration: scaled(duration, scale)
    # A service that a job does not authorise at simply has no key file.
    for job in values.get("jobs", []):  # type: ignore[attr-defined]
        job.setdefault("key_file", None)
    return environment.get_template(template).render(**values)
