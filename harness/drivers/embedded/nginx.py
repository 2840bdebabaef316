"""nginx for one run: its configuration, and the switch from one colour to the other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.drivers.embedded.places import CONFIG, nginx_bin
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.state import write_private

_PROBLEMS = (
    ("not_found", 404, "Not Found", "There is nothing here."),
    ("too_large", 413, "Content Too Large", "A request may be at most 16 MiB long."),
    ("unavailable", 502, "Bad Gateway", "The gateway could not be reached."),
    ("too_late", 504, "Gateway Timeout", "The gateway did not answer in time."),
)


@dataclass(frozen=True)
class Edge:
    """One run's nginx, listening on ``port``, with its files in ``directory``."""

    directory: Path
    port: int

    @property
    def config(self) -> Path:
        return self.directory / "nginx.conf"

    def write(self, upstream_port: int) -> None:
        """Render the configuration, which takes effect on HUP: requests go to ``upstream_port``."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        write_private(self.config, self.render(upstream_port))

    def render(self, upstream_port: int) -> str:
        return nginx_config(
            # Its own place is the prefix, which unlike this path may hold no space.
            directory=".",
            # Workers of a root master become nobody otherwise, who may not enter our directories.
            user="root root" if os.geteuid() == 0 else "",
            listen=f"{HOST}:{self.port}",
            upstream=f"{HOST}:{upstream_port}",
        )

    def command(self, *extra: str) -> list[str]:
        return [
            *(str(nginx_bin()), "-p", f"{self.directory}/", "-c", "nginx.conf", "-e", "stderr"),
            *extra,
        ]


def nginx_config(*, directory: str, user: str, listen: str, upstream: str) -> str:
    """The shipped configuration: what comes to ``listen`` goes to ``upstream`` (``host:port``).

    ``directory`` is where nginx may write; ``user`` its workers' user, empty for the caller's.
    """
    environment = Environment(
        loader=FileSystemLoader(CONFIG / "nginx"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template("nginx.conf.j2").render(
        directory=directory, user=user, listen=listen, upstream=upstream, problems=_PROBLEMS
    )
