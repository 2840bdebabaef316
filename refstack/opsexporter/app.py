"""The exporter's settings and routes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.types import ASGIApp

from refstack.common.context import RequestContext
from refstack.common.health import service_routes
from refstack.common.problems import EXCEPTION_HANDLERS
from refstack.common.settings import Environment, SettingError
from refstack.opsexporter.audit import Audit
from refstack.opsexporter.bucket import Bucket, Store
from refstack.opsexporter.keys import Certificates, Keys, Probes
from refstack.opsexporter.polling import Poller, Pollers, Source
from refstack.opsexporter.stores import Agreement, Metadata, Vectordb


def build(environment: Environment) -> ASGIApp:
    """The service from its settings; raises SettingError.

    Only what is configured is measured. `/readyz` names each source that cannot be read.
    """
    interval = environment.number("EXPORTER_INTERVAL_S", 30.0, low=0.2, high=3600)
    pollers = [Poller(source, interval) for source in _sources(environment, interval)]
    registry = CollectorRegistry()
    registry.register(Pollers(pollers))

    async def ready() -> dict[str, str | None]:
        return {poller.source.name: poller.current()[1] for poller in pollers}

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        for poller in pollers:
            poller.start()
        yield
        for poller in pollers:
            poller.stop()

    app = Starlette(
        routes=service_routes("opsexporter", registry, ready),
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )
    return RequestContext(app, lambda route, method, status, seconds: None)


def _sources(environment: Environment, interval: float) -> list[Source]:
    sources: list[Source] = []
    dsn = environment.optional("EXPORTER_DATABASE_URL")
    if dsn is not None:
        environment.url("EXPORTER_DATABASE_URL", schemes=("postgresql", "postgres"))
        sources.append(Metadata(dsn))
    if environment.optional("EXPORTER_VECTORDB_URL") is not None:
        url = environment.url("EXPORTER_VECTORDB_URL")
        key = environment.secret("EXPORTER_VECTORDB_API_KEY")
        sources.append(Vectordb(url, key))
        if dsn is not None:
            alias = environment.text("EXPORTER_COLLECTION_ALIAS", "rag-chunks")
            sources.append(Agreement(dsn, url, key, alias, interval))
    if environment.optional("EXPORTER_S3_URL") is not None:
        sources.append(_bucket(environment))
    register = environment.optional("EXPORTER_KEY_REGISTER")
    if register is not None:
        sources.append(Keys(Path(register)))
    report = environment.optional("EXPORTER_AUDIT_REPORT")
    if report is not None:
        sources.append(Audit(Path(report)))
    certificates = _addresses(environment, "EXPORTER_CERTIFICATES")
    if certificates:
        sources.append(Certificates(certificates))
    probes = _addresses(environment, "EXPORTER_PROBES")
    if probes:
        sources.append(Probes(probes))
    if not sources:
        raise SettingError("EXPORTER_DATABASE_URL", None, "a DSN, or another source must be set")
    return sources


def _bucket(environment: Environment) -> Bucket:
    """The bucket; its room is a quota, or read off the disk that it lies on."""
    volume = environment.optional("EXPORTER_S3_VOLUME")
    quota = environment.integer("EXPORTER_S3_CAPACITY_BYTES", 0, low=0, high=1 << 60)
    if volume is not None and not Path(volume).is_dir():
        raise SettingError("EXPORTER_S3_VOLUME", volume, "a directory on the bucket's disk")
    return Bucket(
        Store(
            environment.url("EXPORTER_S3_URL"),
            environment.secret("EXPORTER_S3_ACCESS_KEY", shortest=3),
            environment.secret("EXPORTER_S3_SECRET_KEY"),
            environment.text("EXPORTER_S3_REGION", "us-east-1"),
        ),
        environment.text("EXPORTER_S3_BUCKET", "rag-backups"),
        quota or None,
        Path(volume) if volume else None,
    )


def _addresses(environment: Environment, name: str) -> dict[str, tuple[str, int]]:
    """`name=host:port`, separated by commas."""
    found = {}
    for part in environment.names(name, ()):
        label, _, address = part.partition("=")
        host, _, port = address.rpartition(":")
        if not label or not host or not port.isdigit():
            raise SettingError(name, part, "a comma-separated list of name=host:port")
        found[label] = (host, int(port))
    return found
