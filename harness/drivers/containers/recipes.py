"""How each part runs as a container: image, settings, arguments, what is mounted where."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from harness.drivers.containers.images import Image, Source, image
from harness.drivers.containers.state import ContainerState
from harness.drivers.embedded.links import EDGES, proxy_port_name
from harness.drivers.embedded.metrics import KEY_FILE, prometheus_flags
from harness.drivers.embedded.postgres import ADMIN, DATABASE, Cluster
from harness.drivers.embedded.seaweed import BUCKET
from harness.drivers.embedded.services import OURS, Context
from harness.drivers.embedded.state import Secrets

PARTS = (*OURS, "metadata", "objectstore", "edge", "metrics", "alerts")
"""Every part of the stack; each becomes one container."""

OBJECTSTORE_METRICS = 9324
LOGS = "/logs"
_WHOLE_IMAGE_NEEDED = ("edge",)
"""Roles whose official image lacks what the shipped configuration uses (images.toml says what)."""

_EXECUTABLE_STOP = {"metadata": "SIGINT", "edge": "SIGQUIT"}
_GRACE_S = {"metadata": 30, "edge": 10, "objectstore": 3}


def role_of(part: str) -> str:
    """The role that a part fills."""
    return "gateway" if part.startswith("gateway-") else part


def image_of(part: str, source: Source) -> Image:
    """The image of a part, of this source where there is one that will do."""
    role = role_of(part)
    return image(role, "local" if role in _WHOLE_IMAGE_NEEDED else source)


def address_in(subnet: str, number: int) -> str:
    """The address of a network's member, counted from 0; the engine's own comes before them.

    Raises ValueError where the range is too small.
    """
    network = IPv4Network(subnet)
    at = network.network_address + 2 + number
    if at >= network.broadcast_address:
        raise ValueError(f"{subnet} has no address for {number + 1} members")
    return str(at)


@dataclass(frozen=True)
class NetworkContext(Context):
    """Addresses inside the run's network, where a part's name is its host name."""

    images: Mapping[str, Image] = field(default_factory=dict)

    def address(self, process: str) -> str:
        """``host:port`` of a part, past every fault proxy."""
        return f"{process}:{self.images[process].port}"

    def link_address(self, name: str) -> str:
        """``host:port`` of a link's fault proxy."""
        return f"faultproxy:{self.ports[proxy_port_name(name)]}"

    def place(self, process: str) -> Path:
        """Where the part's volume is mounted, in its own container and in others."""
        return Path(self.images[process].data)

    def database(self, role: str, link: str | None) -> str:
        host, _, port = (self.link_address(link) if link else self.address("metadata")).partition(
            ":"
        )
        return self.cluster.dsn(role, self.secrets[f"{role}_password"], host, int(port))


@dataclass(frozen=True)
class Recipe:
    """One container. ``published`` host port by inner port; ``mounts`` source, target and mode.

    ``address`` in the run's network is the part's own, down or up: an engine would give that of a
    stopped container to the next one that starts, and whoever was still connecting to the first
    would reach the second.
    """

    part: str
    image: Image
    env: Mapping[str, str]
    command: tuple[str, ...]
    published: Mapping[int, int]
    mounts: tuple[tuple[str, str, str], ...]
    user: str
    stop_signal: str = "SIGTERM"
    grace_s: int = 5
    gpu: bool = False
    address: str = ""

    @property
    def digest(self) -> str:
        """Two containers with the same one are interchangeable."""
        told = [
            self.image.reference,
            sorted(self.env.items()),
            self.command,
            sorted(self.published.items()),
            self.mounts,
            self.user,
            self.gpu,
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]


class Cookbook:
    """The recipes of one stack, from its state and secrets."""

    def __init__(self, state: ContainerState, secrets: Secrets) -> None:
        self.state, self.secrets = state, secrets
        source: Source = "local" if state.source == "local" else "official"
        self.images = {part: image_of(part, source) for part in PARTS}
        self.context = NetworkContext(
            Path(state.scratch),
            state.ports,
            secrets.values,
            Cluster(Path(state.scratch) / "metadata", state.ports["metadata"]),
            Path(LOGS),
            images=self.images,
        )

    def volume_name(self, role: str) -> str:
        return f"ragdrill-{self.state.run_id}-{role}"

    def storage(self, part: str) -> str:
        """The volume of a part by name, or the directory of this machine that stands for it."""
        if part == "logship":
            return str(Path(self.state.scratch) / part)
        return self.volume_name(role_of(part))

    def configuration(self, part: str) -> Path:
        """The directory of this machine with the part's generated files."""
        return Path(self.state.scratch) / "config" / part

    def recipe(self, part: str) -> Recipe:
        """How the part runs with the settings in force."""
        image = self.images[part]
        published = {image.port: self.state.ports[part]}
        if part == "objectstore":
            published[OBJECTSTORE_METRICS] = self.state.ports["objectstore-metrics"]
        if part == "faultproxy":
            numbers = (self.state.ports[proxy_port_name(edge.name)] for edge in EDGES)
            published |= {number: number for number in numbers}
        return Recipe(
            part=part,
            image=image,
            env=self._settings(part),
            command=self._command(part),
            published=published,
            mounts=tuple(self._mounts(part)),
            # Logs are the caller's files, so whoever reads them is the caller too.
            user=f"{os.getuid()}:{os.getgid()}" if part == "logship" else image.user,
            stop_signal=_EXECUTABLE_STOP.get(part, "SIGTERM"),
            grace_s=_GRACE_S.get(part, 5),
            gpu=image.gpu and self.state.gpu,
            address=self.address(part),
        )

    def address(self, part: str) -> str:
        """The part's address in the run's network; empty before there is one."""
        return address_in(self.state.subnet, PARTS.index(part)) if self.state.subnet else ""

    def _settings(self, part: str) -> dict[str, str]:
        values = self.secrets.values
        if part in OURS:
            given = OURS[part].settings(self.context)
            return {**given, **self.secrets.overrides.get(part, {})}
        if part == "metadata":
            return {
                "POSTGRES_USER": ADMIN,
                "POSTGRES_PASSWORD": values[f"{ADMIN}_password"],
                "POSTGRES_DB": DATABASE,
                "POSTGRES_INITDB_ARGS": "--data-checksums --locale=C --encoding=UTF8",
                "PGDATA": str(self.context.place(part) / "data"),
                "S3_ENDPOINT_URL": self.context.link("metadata-objectstore"),
                "AWS_ACCESS_KEY_ID": values["objectstore_access_key"],
                "AWS_SECRET_ACCESS_KEY": values["objectstore_secret_key"],
                "BACKUP_BUCKET": BUCKET,
            }
        if part == "objectstore":
            return {
                "MINIO_ROOT_USER": values["objectstore_access_key"],
                "MINIO_ROOT_PASSWORD": values["objectstore_secret_key"],
                "MINIO_PROMETHEUS_AUTH_TYPE": "public",
                "BACKUP_BUCKET": BUCKET,
            }
        return {}

    def _command(self, part: str) -> tuple[str, ...]:
        image = self.images[part]
        if part == "metrics":
            return (*image.command, *prometheus_flags(self.state.time_scale))
        if part == "alerts":
            return (*image.command, "--log.level=warn")
        if part == "logs" and image.source == "official":
            return ("-config.file=/etc/loki/local-config.yaml", "-auth.enabled=true")
        return image.command

    def _mounts(self, part: str) -> list[tuple[str, str, str]]:
        image = self.images[part]
        found = []
        if image.data:
            found.append((self.storage(part), image.data, "rw"))
        here = self.configuration(part)
        found += [(str(here / name), where, "ro") for name, where in (image.config or {}).items()]
        if part == "metrics":
            beside = Path((image.config or {})["prometheus.yml"]).parent
            found.append((str(here / KEY_FILE), str(beside / KEY_FILE), "ro"))
        if part == "logship":
            found.append((self.state.log_dir, LOGS, "ro"))
        if part == "exporter":
            stored = self.images["objectstore"].data
            found.append((self.storage("objectstore"), stored, "ro"))
        return found
