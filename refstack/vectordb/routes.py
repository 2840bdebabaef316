"""The paths of the API: which handler serves each, and what a caller must be allowed to do."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True)
class Route:
    """`handler` names a method of the application; `op` a worker's endpoint for handler `worker`.

    `level` is what `auth.Access.check` is asked for; nothing is when it is empty.
    """

    method: str
    template: str
    handler: str
    level: str = "r"
    op: str = ""
    kind: str = ""


_C = "/collections/{collection_name}"
_P = f"{_C}/points"


def _worker(method: str, template: str, level: str, op: str, kind: str = "") -> Route:
    return Route(method, template, "worker", level, op, kind)


ROUTES = (
    Route("GET", "/", "root", ""),
    Route("GET", "/healthz", "healthz", ""),
    Route("GET", "/livez", "healthz", ""),
    Route("GET", "/readyz", "readyz", ""),
    Route("GET", "/metrics", "metrics", "g"),
    Route("GET", "/telemetry", "telemetry", "g"),
    Route("GET", "/issues", "issues", "g"),
    Route("GET", "/cluster", "cluster", "g"),
    Route("GET", "/collections", "list_collections", ""),
    Route("GET", "/aliases", "list_aliases", ""),
    Route("POST", "/collections/aliases", "change_aliases", "m"),
    Route("GET", "/snapshots", "no_full_snapshots", "g"),
    Route("POST", "/snapshots", "no_full_snapshots", "m"),
    Route("GET", f"{_C}/exists", "exists"),
    Route("GET", f"{_C}/aliases", "collection_aliases"),
    Route("GET", f"{_C}/cluster", "collection_cluster"),
    Route("POST", f"{_C}/cluster", "no_cluster", "m"),
    Route("GET", f"{_C}/optimizations", "optimizations"),
    _worker("GET", _C, "r", "info"),
    Route("PUT", _C, "create_collection", "m"),
    _worker("PATCH", _C, "m", "patch"),
    Route("DELETE", _C, "delete_collection", "m"),
    _worker("PUT", f"{_C}/index", "rwx", "create_index"),
    _worker("DELETE", f"{_C}/index/{{field_name}}", "rwx", "delete_index"),
    _worker("PUT", f"{_C}/vectors/{{vector_name}}", "rwx", "create_vector"),
    _worker("DELETE", f"{_C}/vectors/{{vector_name}}", "rwx", "delete_vector"),
    _worker("POST", f"{_C}/facet", "r", "facet"),
    _worker("PUT", _P, "rw", "update", "upsert"),
    _worker("POST", _P, "r", "retrieve"),
    _worker("POST", f"{_P}/delete", "rw", "update", "delete"),
    _worker("POST", f"{_P}/payload", "rw", "update", "set_payload"),
    _worker("PUT", f"{_P}/payload", "rw", "update", "overwrite_payload"),
    _worker("POST", f"{_P}/payload/delete", "rw", "update", "delete_payload"),
    _worker("POST", f"{_P}/payload/clear", "rw", "update", "clear_payload"),
    _worker("PUT", f"{_P}/vectors", "rw", "update", "update_vectors"),
    _worker("POST", f"{_P}/vectors/delete", "rw", "update", "delete_vectors"),
    _worker("POST", f"{_P}/batch", "rw", "update_batch"),
    _worker("POST", f"{_P}/query", "r", "query"),
    _worker("POST", f"{_P}/query/batch", "r", "query_batch"),
    _worker("POST", f"{_P}/query/groups", "r", "query_groups"),
    _worker("POST", f"{_P}/search", "r", "search"),
    _worker("POST", f"{_P}/search/batch", "r", "search_batch"),
    _worker("POST", f"{_P}/scroll", "r", "scroll"),
    _worker("POST", f"{_P}/count", "r", "count"),
    _worker("GET", f"{_P}/{{id}}", "r", "point"),
    Route("GET", f"{_C}/snapshots", "list_snapshots", "rx"),
    Route("POST", f"{_C}/snapshots", "create_snapshot", "rwx"),
    Route("POST", f"{_C}/snapshots/upload", "upload_snapshot", "m"),
    Route("PUT", f"{_C}/snapshots/recover", "recover_snapshot", "m"),
    Route("GET", f"{_C}/snapshots/{{snapshot_name}}", "get_snapshot", "rx"),
    Route("DELETE", f"{_C}/snapshots/{{snapshot_name}}", "delete_snapshot", "rwx"),
    Route("GET", f"{_C}/shards", "no_shards"),
    Route("PUT", f"{_C}/shards", "no_shards", "m"),
    Route("POST", f"{_C}/shards/delete", "no_shards", "m"),
    Route("POST", f"{_P}/recommend", "no_old_endpoint"),
    Route("POST", f"{_P}/discover", "no_old_endpoint"),
    Route("POST", f"{_P}/search/groups", "no_old_endpoint"),
    Route("POST", f"{_P}/search/matrix/pairs", "no_old_endpoint"),
    Route("POST", f"{_P}/search/matrix/offsets", "no_old_endpoint"),
    Route("GET", f"{_C}/shards/{{shard_id}}/snapshots", "no_shards"),
    Route("POST", f"{_C}/shards/{{shard_id}}/snapshots", "no_shards", "m"),
    Route("POST", f"{_C}/shards/{{shard_id}}/snapshots/upload", "no_shards", "m"),
    Route("PUT", f"{_C}/shards/{{shard_id}}/snapshots/recover", "no_shards", "m"),
)


class _Node:
    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.routes: dict[str, Route] = {}


def _tree() -> _Node:
    root = _Node()
    for route in ROUTES:
        node = root
        for part in route.template.strip("/").split("/"):
            if part.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            elif part:
                node = node.children.setdefault(part, _Node())
        node.routes[route.method] = route
    return root


_ROOT = _tree()


def match(method: str, raw_path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and the decoded values of its path, or None.

    Slashes at the end or in a row do not count, as in the real server. A literal part wins over
    a variable one where both lead to a route of the method.
    """
    parts = [part for part in raw_path.split("/") if part]
    found = _walk(_ROOT, parts, 0, method)
    if found is None:
        return None
    route, values = found
    names = [part[1:-1] for part in route.template.split("/") if part.startswith("{")]
    return route, dict(zip(names, (unquote(value) for value in values), strict=True))


def _walk(node: _Node, parts: list[str], at: int, method: str) -> tuple[Route, list[str]] | None:
    if at == len(parts):
        route = node.routes.get(method)
        return None if route is None else (route, [])
    child = node.children.get(parts[at])
    if child is not None:
        found = _walk(child, parts, at + 1, method)
        if found is not None:
            return found
    if node.variable is not None:
        found = _walk(node.variable, parts, at + 1, method)
        if found is not None:
            return found[0], [parts[at], *found[1]]
    return None
