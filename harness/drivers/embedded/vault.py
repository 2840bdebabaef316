"""The credentials of each role, under the names that cases ask for."""

from __future__ import annotations

from harness.drivers.embedded.links import proxy_port_name
from harness.drivers.embedded.parts import Parts
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.postgres import ADMIN
from harness.drivers.embedded.seaweed import BUCKET


def credentials(processes: Parts, role: str) -> dict[str, str]:
    """Empty for a role without secrets. DSNs are direct, but for ``operator_dsn`` (a link's)."""
    values = processes.secrets.values
    overrides = processes.secrets.overrides.get(role, {})
    if role == "vectordb":
        return {
            "api_key": overrides.get("QDRANT__SERVICE__API_KEY", values["vectordb_api_key"]),
            "read_only_api_key": overrides.get(
                "QDRANT__SERVICE__READ_ONLY_API_KEY", values["vectordb_read_only_api_key"]
            ),
        }
    if role == "metadata":
        cluster = processes.cluster
        dsns = {
            f"{short}_dsn": cluster.dsn(user, values[f"{user}_password"])
            for short, user in (
                ("admin", ADMIN),
                # The deployment job narrows roles, which takes a superuser: it owns all tables.
                ("owner", ADMIN),
                ("gateway", "rag_gateway"),
                ("auth", "rag_auth"),
            )
        }
        link = processes.port(proxy_port_name("operator-metadata"))
        return {
            **dsns,
            "operator_dsn": cluster.dsn(ADMIN, values[f"{ADMIN}_password"], HOST, link),
        }
    if role == "objectstore":
        return {
            "access_key": values["objectstore_access_key"],
            "secret_key": values["objectstore_secret_key"],
            "bucket": BUCKET,
        }
    if role == "auth":
        return {
            "service_key": overrides.get("AUTH_SERVICE_KEY", values["auth_service_key"]),
            "jwt_keys": overrides.get("GOTRUE_JWT_KEYS", values["auth_jwt_keys"]),
        }
    variable = {"embed": "EMBED", "fallback": "EMBED", "rerank": "RERANK"}.get(role)
    if variable is None:
        return {}
    keys = overrides.get(f"{variable}_API_KEYS", values[f"{role}_api_key"])
    return {"api_key": keys.split(",")[0]}
