"""The environment variables of every day-two script: what each means, and its refusal if absent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.core.errors import UsageError


@dataclass(frozen=True)
class Variable:
    """One variable. ``schemes`` limits an address; ``default`` None means that it must be set."""

    meaning: str
    default: str | None = None
    schemes: tuple[str, ...] = ()


_HTTP = ("http", "https")

CONTRACT: dict[str, Variable] = {
    "QDRANT_URL": Variable("address of the vector store's REST API", schemes=_HTTP),
    "QDRANT_API_KEY": Variable("key of the vector store with full rights"),
    "QDRANT_ALIAS": Variable("alias behind which the gateway's collection lives", "rag-chunks"),
    "S3_ENDPOINT_URL": Variable("address of the object store", schemes=_HTTP),
    "AWS_ACCESS_KEY_ID": Variable("key id of the object store"),
    "AWS_SECRET_ACCESS_KEY": Variable("secret key of the object store"),
    "AWS_REGION": Variable("region of the object store", "us-east-1"),
    "BACKUP_BUCKET": Variable("bucket of the backups, which exists", "rag-backups"),
    "DATABASE_URL": Variable(
        "owner DSN of the metadata store, with the right to replicate",
        schemes=("postgresql", "postgres"),
    ),
    "GATEWAY_URL": Variable("address under which users reach the gateway", schemes=_HTTP),
    "AUTH_URL": Variable("address of the auth service", schemes=_HTTP),
    "AUTH_SERVICE_KEY": Variable("service key of the auth service"),
    "PROMETHEUS_URL": Variable("address of Prometheus", schemes=_HTTP),
    "ALERTMANAGER_URL": Variable("address of Alertmanager", schemes=_HTTP),
    "CHAT_WEBHOOK_URL": Variable("webhook that puts a message into the chat", schemes=_HTTP),
    "PAGER_WEBHOOK_URL": Variable("webhook that rings whoever is on call", schemes=_HTTP),
    "REPORT_BASE_URL": Variable("address that serves pages, for links in the chat", "", _HTTP),
    "STOP_WRITERS_CMD": Variable("shell command that ends all writing to the stores", ""),
    "START_WRITERS_CMD": Variable("shell command that lets writers go on", ""),
    "REINDEX_CMD": Variable("shell command that makes the vector store agree with metadata", ""),
    "ROLL_GATEWAY_CMD": Variable(
        "shell command that rolls the gateway to the settings of its environment, none failing", ""
    ),
    "POSTGRES_BIN": Variable("directory of PostgreSQL's programs", ""),
    "BLUE_URL": Variable("address of the blue gateway itself, past nginx", schemes=_HTTP),
    "GREEN_URL": Variable("address of the green gateway itself, past nginx", schemes=_HTTP),
    "GATEWAY_START_CMD": Variable("shell command that starts gateway $COLOUR with $RELEASE"),
    "GATEWAY_STOP_CMD": Variable("shell command that ends gateway $COLOUR in its orderly way"),
    "GATEWAY_SWITCH_CMD": Variable(
        "shell command that points nginx's upstream at $COLOUR ($UPSTREAM, host:port) and reloads"
    ),
    "GATEWAY_DRAINED_CMD": Variable(
        "shell command that ends with 0 once nginx sends nothing to $COLOUR any more", ""
    ),
    "GATEWAY_READY_PATH": Variable("path that answers 200 when all behind it serves", "/readyz"),
    "GATEWAY_PROBE_PATH": Variable("path of a query", "/v1/query"),
    "GATEWAY_PROBE_BODY": Variable("body (JSON) of a query that has an answer"),
    "GATEWAY_PROBE_TOKEN": Variable("token for that query"),
    "GATEWAY_PROBE_EXPECT": Variable("words that its answer holds", ""),
    "ROLLOUT_STATE": Variable("file that remembers what was rolled out (default: below ~)", ""),
    "STOP_QDRANT_CMD": Variable("shell command that ends the vector store, whichever version"),
    "START_NEW_QDRANT_CMD": Variable("shell command that starts the new version"),
    "START_OLD_QDRANT_CMD": Variable("shell command that starts the old version on its volume"),
    "WIPE_QDRANT_CMD": Variable(
        "shell command that empties the volume of the old version (while it is stopped)", ""
    ),
    "JWT_KEYS_FILE": Variable("file of the auth service's signing keys, a JSON array of JWKs"),
    "JWT_KEYS_APPLY_CMD": Variable(
        "shell command that puts them ($GOTRUE_JWT_KEYS) into force, if the service does not watch "
        "the file",
        "",
    ),
    "JWT_ISSUER": Variable("issuer of the tokens (iss)"),
    "JWT_AUDIENCE": Variable("audience of the tokens (aud)", "authenticated"),
    "GATEWAY_URLS": Variable("addresses of all gateways, by commas (default: GATEWAY_URL)", ""),
    "GATEWAY_KEY_PROBE_PATH": Variable(
        "path that a token without a tenant may not read", "/v1/documents"
    ),
    "KEY_REGISTER": Variable("register of keys that the exporter reads (JSON)"),
    "PROVIDER_URL": Variable("address of the OpenAI-compatible provider", schemes=_HTTP),
    "PROVIDER_MODEL": Variable("embedding model of the provider"),
    "PROVIDER_KEY_FILE": Variable("file of the provider's key in use"),
    "PROVIDER_KEY_NAME": Variable("name of that key in KEY_REGISTER", "fallback"),
    "NEW_PROVIDER_KEY": Variable("key that the provider has issued", ""),
    "PROVIDER_KEY_APPLY_CMD": Variable(
        "shell command that rolls the gateways over to $PROVIDER_KEY"
    ),
    "PROVIDER_KEY_DROP_CMD": Variable(
        "shell command that has the provider refuse $PROVIDER_KEY_OLD", ""
    ),
}
"""Every variable that a script reads. Whoever adds one puts it here."""


class Environment:
    """The variables that are set, checked once.

    ``environment["QDRANT_URL"]`` gives the value or its default. Raises UsageError, naming the
    variable, what it means and how to set it, for one that is missing or is no address.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(os.environ if values is None else values)

    @classmethod
    def with_all(cls, *names: str, values: Mapping[str, str] | None = None) -> Environment:
        """Return the environment once all of ``names`` are there, so that nothing fails midway.

        Raises:
            UsageError: names every variable that is missing or wrong, not only the first.
        """
        environment = cls(values)
        problems = []
        for name in names:
            try:
                environment[name]
            except UsageError as error:
                problems.append(error)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise UsageError(
                "Several settings are missing or wrong.",
                expected="; ".join(f"{error.expected}" for error in problems),
                actual="; ".join(f"{error.actual}" for error in problems),
                next_step="export them and run again; scripts/README.md has the list",
            )
        return environment

    def __getitem__(self, name: str) -> str:
        variable = CONTRACT[name]
        value = self._values.get(name, "") or variable.default
        if value is None:
            raise UsageError(
                f"{name} is not set.",
                expected=f"{name}: {variable.meaning}",
                actual=f"{name} is {'empty' if name in self._values else 'not set'}",
                next_step=f"export {name}=... and run again; scripts/README.md has the list",
            )
        if variable.schemes and value:
            parts = urlsplit(value)
            if parts.scheme not in variable.schemes or not parts.hostname:
                # The value is not shown: a DSN holds a password.
                raise UsageError(
                    f"{name} is no address.",
                    expected=f"{name}: {variable.meaning}, as {variable.schemes[0]}://host:port",
                    actual=f"{name} has the scheme {parts.scheme or 'none'!r} and "
                    f"{'a' if parts.hostname else 'no'} host",
                )
        return value.rstrip("/") if "http" in variable.schemes else value

    def has(self, name: str) -> bool:
        """Whether the variable is set to something, or has a default that is something."""
        return bool(self._values.get(name) or CONTRACT[name].default)


def table() -> str:
    """Return the contract as text for ``--help``: one variable a line, with its default."""
    lines = []
    for name, variable in CONTRACT.items():
        default = f" (default {variable.default})" if variable.default else ""
        lines.append(f"  {name:<22} {variable.meaning}{default}")
    return "\n".join(lines)
