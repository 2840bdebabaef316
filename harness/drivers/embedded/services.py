"""The services of ours: which module each process runs, and the settings it gets."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.drivers.embedded.links import proxy_port_name
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.postgres import ADMIN, Cluster

MODELS = ("wordllama-256", "minilm-384")
"""The embedding models of the reference stack; the first is the stable one."""
AUDIENCE = "authenticated"
TOKEN_LIFE_S = 3600
KEY_REGISTER = "keys.json"
"""In the exporter's directory: which keys there are, and since when."""
SIGNING_KEYS = "signing-keys.json"
"""In the auth service's directory: the keys in force once they have been rotated."""


@dataclass(frozen=True)
class Context:
    """What the settings of a service are made from."""

    scratch: Path
    ports: Mapping[str, int]
    secrets: Mapping[str, str]
    cluster: Cluster
    log_dir: Path

    def address(self, process: str) -> str:
        """``host:port`` of a process, past every fault proxy."""
        return f"{HOST}:{self.ports[process]}"

    def link_address(self, name: str) -> str:
        """``host:port`` of a link's fault proxy."""
        return f"{HOST}:{self.ports[proxy_port_name(name)]}"

    def direct(self, process: str) -> str:
        return f"http://{self.address(process)}"

    def link(self, name: str) -> str:
        return f"http://{self.link_address(name)}"

    def place(self, process: str) -> Path:
        """The directory of a process's data, as the process itself sees it."""
        return self.scratch / process

    def database(self, role: str, link: str | None) -> str:
        port = self.ports[proxy_port_name(link)] if link else None
        return self.cluster.dsn(role, self.secrets[f"{role}_password"], port=port)


def new_secrets() -> dict[str, str]:
    """Random credentials for one run, and a fresh signing key."""
    names = (
        "rag_admin_password",
        "rag_gateway_password",
        "rag_auth_password",
        "vectordb_api_key",
        "vectordb_read_only_api_key",
        "embed_api_key",
        "fallback_api_key",
        "rerank_api_key",
        "auth_service_key",
        "objectstore_access_key",
        "objectstore_secret_key",
        "objectstore_internal_key",
        "objectstore_admin_password",
    )
    made = {name: secrets.token_hex(20) for name in names}
    made["auth_jwt_keys"] = json.dumps([new_signing_key()])
    return made


def new_signing_key() -> dict[str, object]:
    """A private ES256 key as JWK, marked as the one that signs."""
    from joserfc.jwk import ECKey

    kid = secrets.token_hex(8)
    key = ECKey.generate_key("P-256", private=True)
    return {
        **key.as_dict(private=True),
        "kid": kid,
        "use": "sig",
        "alg": "ES256",
        "key_ops": ["sign"],
    }


def issuer(context: Context) -> str:
    return context.direct("auth")


def _gateway(colour: str) -> Callable[[Context], dict[str, str]]:
    def settings(context: Context) -> dict[str, str]:
        return {
            "GATEWAY_COLOUR": colour,
            "GATEWAY_DATABASE_URL": context.database("rag_gateway", "gateway-metadata"),
            "GATEWAY_VECTORDB_URL": context.link("gateway-vectordb"),
            "GATEWAY_VECTORDB_API_KEY": context.secrets["vectordb_api_key"],
            "GATEWAY_AUTH_URL": context.link("gateway-auth"),
            "GATEWAY_JWT_AUDIENCE": AUDIENCE,
            "GATEWAY_JWT_ISSUER": issuer(context),
            "GATEWAY_EMBED_URL": context.link("gateway-embed"),
            "GATEWAY_EMBED_API_KEY": context.secrets["embed_api_key"],
            "GATEWAY_EMBED_MODEL": MODELS[0],
            "GATEWAY_EMBED_FALLBACK_URL": context.link("gateway-fallback"),
            "GATEWAY_EMBED_FALLBACK_API_KEY": context.secrets["fallback_api_key"],
            "GATEWAY_RERANK_URL": context.link("gateway-rerank"),
            "GATEWAY_RERANK_API_KEY": context.secrets["rerank_api_key"],
        }

    return settings


def _embed(context: Context) -> dict[str, str]:
    return {
        "EMBED_MODELS": ",".join(MODELS),
        "EMBED_API_KEYS": context.secrets["embed_api_key"],
    }


def _fallback(context: Context) -> dict[str, str]:
    return {
        "EMBED_MODELS": ",".join(MODELS),
        "EMBED_API_KEYS": context.secrets["fallback_api_key"],
    }


def _rerank(context: Context) -> dict[str, str]:
    return {"RERANK_API_KEYS": context.secrets["rerank_api_key"]}


def _auth(context: Context) -> dict[str, str]:
    return {
        "AUTH_DATABASE_URL": context.database("rag_auth", "auth-metadata"),
        "AUTH_SERVICE_KEY": context.secrets["auth_service_key"],
        "GOTRUE_JWT_KEYS": context.secrets["auth_jwt_keys"],
        # There is none until somebody rotates: then its keys are in force, and no restart.
        "GOTRUE_JWT_KEYS_FILE": str(context.place("auth") / SIGNING_KEYS),
        "GOTRUE_JWT_EXP": str(TOKEN_LIFE_S),
        "GOTRUE_JWT_AUD": AUDIENCE,
        # The passwords of a run are random and die with it: one round, a fifth of the cost.
        "AUTH_SCRYPT_ROUNDS": "1",
        "GOTRUE_JWT_ISSUER": issuer(context),
    }


def _vectordb(context: Context) -> dict[str, str]:
    directory = context.place("vectordb")
    return {
        "QDRANT__SERVICE__API_KEY": context.secrets["vectordb_api_key"],
        "QDRANT__SERVICE__READ_ONLY_API_KEY": context.secrets["vectordb_read_only_api_key"],
        "QDRANT__STORAGE__STORAGE_PATH": str(directory / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(directory / "snapshots"),
    }


def _pager(context: Context) -> dict[str, str]:
    return {"PAGER_FILE": str(context.place("pager") / "deliveries.jsonl")}


def _exporter(context: Context) -> dict[str, str]:
    probed = ("edge", "metadata", "objectstore", "pager")
    return {
        # Live drills cannot wait half a minute for a measurement.
        "EXPORTER_INTERVAL_S": "1",
        "EXPORTER_DATABASE_URL": context.database(ADMIN, None),
        "EXPORTER_VECTORDB_URL": context.direct("vectordb"),
        "EXPORTER_VECTORDB_API_KEY": context.secrets["vectordb_read_only_api_key"],
        "EXPORTER_S3_URL": context.direct("objectstore"),
        "EXPORTER_S3_ACCESS_KEY": context.secrets["objectstore_access_key"],
        "EXPORTER_S3_SECRET_KEY": context.secrets["objectstore_secret_key"],
        "EXPORTER_S3_VOLUME": str(context.place("objectstore")),
        "EXPORTER_KEY_REGISTER": str(context.place("exporter") / KEY_REGISTER),
        "EXPORTER_AUDIT_REPORT": str(context.place("exporter") / "audit" / "report.json"),
        "EXPORTER_PROBES": ",".join(f"{role}={context.address(role)}" for role in probed),
    }


def _logs(context: Context) -> dict[str, str]:
    return {"LOGSTORE_FILE": str(context.place("logs") / "lines.sqlite")}


def _logship(context: Context) -> dict[str, str]:
    keys = json.loads(context.secrets["auth_jwt_keys"])
    known = [value for name, value in context.secrets.items() if name != "auth_jwt_keys"]
    known += [key["d"] for key in keys]
    return {
        "LOGSHIP_DIR": str(context.log_dir),
        "LOGSHIP_URL": context.link("logship-logs"),
        "LOGSHIP_POSITIONS": str(context.place("logship") / "positions.json"),
        "LOGSHIP_KNOWN_SECRETS": ",".join(
            hashlib.sha256(value.encode()).hexdigest() for value in known
        ),
    }


def _gpu(context: Context) -> dict[str, str]:
    return {"GPU_STAND_IN_FILE": str(context.place("gpu") / "device.json")}


def key_register(made_at: float) -> str:
    """The register of the keys that this run made, as the exporter reads it."""
    made = datetime.fromtimestamp(made_at, UTC).isoformat(timespec="seconds")
    keys = {"auth-signing": "jwt", "embed": "api", "fallback": "api", "rerank": "api"}
    entries = [{"key": key, "kind": kind, "created": made} for key, kind in keys.items()]
    return json.dumps({"keys": entries}, indent=1)


def migration(context: Context) -> dict[str, str]:
    """The settings of the deployment job, which talks to the stores directly."""
    return {
        "MIGRATE_DATABASE_URL": context.database(ADMIN, None),
        "MIGRATE_GATEWAY_PASSWORD": context.secrets["rag_gateway_password"],
        "MIGRATE_AUTH_PASSWORD": context.secrets["rag_auth_password"],
        "MIGRATE_VECTORDB_URL": context.direct("vectordb"),
        "MIGRATE_VECTORDB_API_KEY": context.secrets["vectordb_api_key"],
        "MIGRATE_EMBED_MODELS": ",".join(MODELS),
    }


@dataclass(frozen=True)
class OurService:
    """A process of ours: ``settings`` gives its environment."""

    process: str
    module: str
    settings: Callable[[Context], dict[str, str]]


OURS = {
    service.process: service
    for service in (
        OurService("faultproxy", "refstack.faultproxy", lambda _: {}),
        OurService("vectordb", "refstack.vectordb", _vectordb),
        OurService("embed", "refstack.embed", _embed),
        OurService("fallback", "refstack.embed", _fallback),
        OurService("rerank", "refstack.rerank", _rerank),
        OurService("auth", "refstack.auth", _auth),
        OurService("pager", "refstack.pager", _pager),
        OurService("exporter", "refstack.opsexporter", _exporter),
        OurService("logs", "refstack.logstore", _logs),
        OurService("logship", "refstack.logship", _logship),
        OurService("gpu", "refstack.gpuexporter", _gpu),
        OurService("gateway-blue", "refstack.gateway", _gateway("blue")),
        OurService("gateway-green", "refstack.gateway", _gateway("green")),
    )
}
