"""The gateway's settings, read once at the start and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from refstack.common.settings import Environment, SettingError

MODEL_DIMENSIONS = {"wordllama-256": 256, "minilm-384": 384}
"""Dimension of each embedding model's vectors."""


@dataclass(frozen=True)
class Endpoint:
    """An upstream's base URL and the key to present, None for an upstream without one."""

    url: str
    api_key: str | None


@dataclass(frozen=True)
class Canary:
    """The stable model beside the canary, and the share (0 to 1) that the canary gets."""

    stable_model: str
    share: float


@dataclass(frozen=True)
class Settings:
    """All settings. Times are in seconds."""

    colour: Literal["blue", "green"]
    database_url: str
    vectordb: Endpoint
    auth_url: str
    jwt_audience: str
    jwt_issuer: str
    jwks_refresh_s: float
    embed_model: str
    embed_provider: Literal["local", "fallback"]
    embed_local: Endpoint | None
    embed_fallback: Endpoint | None
    canary: Canary | None
    rerank: Endpoint
    rerank_batch: int
    alias: str
    search_ef: int
    timeout_s: float
    cleanup_s: float
    max_inflight: int
    max_writes: int

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose spaces this gateway knows, the stable one first."""
        if self.canary is None:
            return (self.embed_model,)
        return (self.canary.stable_model, self.embed_model)


def collection_of(alias: str, model: str) -> str:
    """The name of the collection that holds a model's vectors."""
    return f"{alias}-{model}"


def read_alias(env: Environment) -> str:
    """`GATEWAY_COLLECTION_ALIAS`, refused if it cannot be part of a URL's path as it is."""
    alias = env.text("GATEWAY_COLLECTION_ALIAS", "rag-chunks")
    if not alias.replace("-", "").replace("_", "").isalnum() or not alias.isascii():
        raise SettingError(
            "GATEWAY_COLLECTION_ALIAS", alias, "letters, digits, hyphens and underscores only"
        )
    return alias


def _endpoint(env: Environment, prefix: str) -> Endpoint:
    key = f"{prefix}_API_KEY"
    return Endpoint(env.url(f"{prefix}_URL"), env.secret(key, shortest=1))


def _canary(env: Environment, model: str) -> Canary | None:
    if not env.flag("CANARY"):
        return None
    stable = env.choice("GATEWAY_EMBED_STABLE_MODEL", tuple(MODEL_DIMENSIONS))
    if stable == model:
        raise SettingError(
            "GATEWAY_EMBED_STABLE_MODEL", stable, "another model than GATEWAY_EMBED_MODEL"
        )
    return Canary(stable, env.number("GATEWAY_CANARY_SHARE", 0.10, low=0.0, high=1.0))


def read_settings(env: Environment) -> Settings:
    """Read all settings.

    Raises `SettingError` for the first one that cannot be used.
    """
    provider = env.choice("GATEWAY_EMBED_PROVIDER", ("local", "fallback"), "local")
    model = env.choice("GATEWAY_EMBED_MODEL", tuple(MODEL_DIMENSIONS))
    has_fallback = provider == "fallback" or env.optional("GATEWAY_EMBED_FALLBACK_URL")
    local = _endpoint(env, "GATEWAY_EMBED") if provider == "local" else None
    fallback = _endpoint(env, "GATEWAY_EMBED_FALLBACK") if has_fallback else None
    colour = env.choice("GATEWAY_COLOUR", ("blue", "green"), "blue")
    return Settings(
        colour="green" if colour == "green" else "blue",
        database_url=env.url("GATEWAY_DATABASE_URL", schemes=("postgresql", "postgres")),
        vectordb=_endpoint(env, "GATEWAY_VECTORDB"),
        auth_url=env.url("GATEWAY_AUTH_URL"),
        jwt_audience=env.text("GATEWAY_JWT_AUDIENCE", "authenticated"),
        jwt_issuer=env.text("GATEWAY_JWT_ISSUER", expected="the issuer of the tokens (claim iss)"),
        jwks_refresh_s=env.number("GATEWAY_JWKS_REFRESH_S", 10.0, low=0.5, high=600.0),
        embed_model=model,
        embed_provider="fallback" if provider == "fallback" else "local",
        embed_local=local,
        embed_fallback=fallback,
        canary=_canary(env, model),
        rerank=Endpoint(env.url("GATEWAY_RERANK_URL"), env.optional("GATEWAY_RERANK_API_KEY")),
        rerank_batch=env.integer("GATEWAY_RERANK_BATCH", 32, low=1, high=256),
        alias=read_alias(env),
        search_ef=env.integer("GATEWAY_SEARCH_EF", 0, low=0, high=4096),
        timeout_s=env.number("GATEWAY_TIMEOUT_S", 10.0, low=0.5, high=120.0),
        cleanup_s=env.number("GATEWAY_CLEANUP_S", 15.0, low=0.2, high=3600.0),
        max_inflight=env.integer("GATEWAY_MAX_INFLIGHT", 128, low=1, high=4096),
        max_writes=env.integer("GATEWAY_MAX_WRITES", 64, low=0, high=4096),
    )
