"""From the JSON of a query to the engine's, with ids replaced by the vectors they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qdrant_edge as edge

from refstack.vectordb.checks import (
    JsonObject,
    as_bool,
    as_choice,
    as_int,
    as_list,
    as_number,
    as_object,
    as_text,
    given,
    one_or_many,
    required,
)
from refstack.vectordb.errors import (
    bad_request,
    format_error,
    from_engine,
    not_found,
    not_offered,
    validation_error,
    wrong_input,
)
from refstack.vectordb.worker.answers import read_with_payload, read_with_vector
from refstack.vectordb.worker.filters import read_filter, read_point_id
from refstack.vectordb.worker.formulas import read_formula
from refstack.vectordb.worker.points import read_vector, spec_of

if TYPE_CHECKING:
    from refstack.vectordb.worker.collection import Collection

_LEVEL = (
    "prefetch",
    "query",
    "using",
    "filter",
    "params",
    "score_threshold",
    "limit",
    "lookup_from",
)
_QUERY = (*_LEVEL, "offset", "with_vector", "with_vectors", "with_payload", "shard_key")
_DIRECTIONS = {"asc": edge.Direction.Asc, "desc": edge.Direction.Desc}
DEFAULT_LIMIT = 10


def read_params(source: object) -> edge.SearchParams | None:
    """`params` of a search."""
    if source is None:
        return None
    known = ("hnsw_ef", "exact", "quantization", "indexed_only", "acorn")
    fields = as_object(source, "params", known)
    arguments: JsonObject = {}
    if given(fields, "hnsw_ef") is not None:
        arguments["hnsw_ef"] = as_int(fields["hnsw_ef"], "params.hnsw_ef", 1)
    for name in ("exact", "indexed_only"):
        if given(fields, name) is not None:
            arguments[name] = as_bool(fields[name], f"params.{name}")
    if given(fields, "quantization") is not None:
        inner = as_object(
            fields["quantization"], "params.quantization", ("ignore", "rescore", "oversampling")
        )
        arguments["quantization"] = edge.QuantizationSearchParams(
            ignore=as_bool(inner.get("ignore") or False, "params.quantization.ignore"),
            rescore=inner.get("rescore"),
            oversampling=inner.get("oversampling"),
        )
    if given(fields, "acorn") is not None:
        inner = as_object(fields["acorn"], "params.acorn", ("enable", "max_selectivity"))
        arguments["acorn"] = edge.AcornSearchParams(
            enable=as_bool(inner.get("enable") or False, "params.acorn.enable"),
            max_selectivity=inner.get("max_selectivity"),
        )
    try:
        return edge.SearchParams(**arguments)
    except (ValueError, TypeError) as error:
        raise from_engine(error) from None


def read_order_by(source: object) -> edge.OrderBy:
    """`order_by`: a key, or a key with direction and start."""
    fields: JsonObject = (
        {"key": source}
        if isinstance(source, str)
        else as_object(source, "order_by", ("key", "direction", "start_from"))
    )
    key = as_text(required(fields, "key"), "order_by.key")
    direction = given(fields, "direction")
    start = given(fields, "start_from")
    if start is not None and (isinstance(start, bool) or not isinstance(start, int | float | str)):
        raise format_error("order_by.start_from takes a number or a date-time")
    try:
        return edge.OrderBy(
            key,
            None
            if direction is None
            else _DIRECTIONS[as_choice(direction, tuple(_DIRECTIONS), "order_by.direction")],
            start,
        )
    except (ValueError, TypeError) as error:
        raise from_engine(error) from None


class QueryReader:
    """Reads one level of a query; collects the ids that its answer must leave out."""

    def __init__(self, collection: Collection, using: str) -> None:
        self._collection = collection
        self._using = using
        self._spec = collection.specs.get(using)
        self.used_ids: list[Any] = []

    def vector(self, value: object) -> Any:
        """A vector given as itself or as the id of a point that has it."""
        spec = self._spec or spec_of(self._using, self._collection.specs)
        is_id = isinstance(value, int) and not isinstance(value, bool)
        if is_id or isinstance(value, str):
            found_id = read_point_id(value)
            self.used_ids.append(found_id)
            return self._vector_of(found_id)
        return read_vector(value, spec)

    def _vector_of(self, found_id: Any) -> Any:
        found = self._collection.shard.retrieve([found_id], False, [self._using])
        if not found:
            raise not_found(f"No point with id {found_id} found")
        vector: Any = found[0].vector
        if isinstance(vector, dict):
            vector = vector.get(self._using)
        if vector is None:
            raise wrong_input(f"Vector with name `{self._using}` not found for point {found_id}")
        return vector

    def read(self, source: object) -> Any:
        """`query` of any kind the engine has. Raises `ApiError`."""
        if isinstance(source, dict):
            for name, reader in _KINDS.items():
                if name in source:
                    return reader(self, source)
            if not ("indices" in source and "values" in source):
                names = ", ".join(f"`{name}`" for name in _KINDS)
                raise format_error(
                    f"query with {sorted(source)} is not understood, expected a vector, a point ID "
                    f"or one of {names}"
                )
        return edge.Query.Nearest(self.vector(source), using=self._using)

    def nearest(self, source: JsonObject) -> Any:
        fields = as_object(source, "query", ("nearest", "mmr"))
        if given(fields, "mmr") is None:
            return edge.Query.Nearest(self.vector(fields["nearest"]), using=self._using)
        mmr = as_object(fields["mmr"], "mmr", ("diversity", "candidates_limit"))
        diversity = 0.5 if given(mmr, "diversity") is None else as_number(mmr["diversity"], "mmr")
        if not 0 <= diversity <= 1:
            raise validation_error(
                "mmr.diversity", f"value {diversity} invalid, must be 0.0 to 1.0"
            )
        limit = as_int(mmr.get("candidates_limit") or 100, "mmr.candidates_limit", 1, 16384)
        return edge.Mmr(self.vector(fields["nearest"]), 1 - diversity, limit, using=self._using)

    def recommend(self, source: JsonObject) -> Any:
        fields = as_object(
            as_object(source, "query", ("recommend",))["recommend"],
            "recommend",
            ("positive", "negative", "strategy"),
        )
        positive = [self.vector(v) for v in as_list(fields.get("positive") or [], "positive")]
        negative = [self.vector(v) for v in as_list(fields.get("negative") or [], "negative")]
        strategies = ("average_vector", "best_score", "sum_scores")
        strategy = as_choice(fields.get("strategy") or strategies[0], strategies, "strategy")
        if strategy == "average_vector":
            return edge.Query.Nearest(_average(positive, negative), using=self._using)
        if not positive and not negative:
            raise bad_request("At least one positive or negative vector ID required")
        made = edge.RecommendQuery(positive, negative)
        if strategy == "best_score":
            return edge.Query.RecommendBestScore(made, using=self._using)
        return edge.Query.RecommendSumScores(made, using=self._using)

    def _pairs(self, source: object) -> list[Any]:
        pairs = []
        for item in one_or_many(source):
            fields = as_object(item, "context", ("positive", "negative"))
            pairs.append(
                edge.ContextPair(
                    self.vector(required(fields, "positive")),
                    self.vector(required(fields, "negative")),
                )
            )
        return pairs

    def discover(self, source: JsonObject) -> Any:
        fields = as_object(
            as_object(source, "query", ("discover",))["discover"], "discover", ("target", "context")
        )
        target = self.vector(required(fields, "target"))
        pairs = self._pairs(fields.get("context") or [])
        return edge.Query.Discover(edge.DiscoverQuery(target, pairs), using=self._using)

    def context(self, source: JsonObject) -> Any:
        fields = as_object(source, "query", ("context",))
        pairs = self._pairs(fields["context"])
        return edge.Query.Context(edge.ContextQuery(pairs), using=self._using)


def _average(positive: list[Any], negative: list[Any]) -> list[float]:
    if not positive:
        raise bad_request("At least one positive vector ID required with strategy `average_vector`")
    if any(not isinstance(v, list) or isinstance(v[0], list) for v in positive + negative):
        raise not_offered("strategy `average_vector` for sparse vectors and multivectors")
    mean = [sum(column) / len(positive) for column in zip(*positive, strict=True)]
    if not negative:
        return mean
    away = [sum(column) / len(negative) for column in zip(*negative, strict=True)]
    return [2 * good - bad for good, bad in zip(mean, away, strict=True)]


def _fusion(_reader: QueryReader, source: JsonObject) -> Any:
    fields = as_object(source, "query", ("fusion",))
    name = as_choice(fields["fusion"], ("rrf", "dbsf"), "fusion")
    return edge.Fusion.Rrf(2) if name == "rrf" else edge.Fusion.Dbsf()


def _rrf(_reader: QueryReader, source: JsonObject) -> Any:
    fields = as_object(as_object(source, "query", ("rrf",))["rrf"], "rrf", ("k", "weights"))
    weights = fields.get("weights")
    if weights is not None:
        weights = [as_number(weight, "rrf.weights") for weight in as_list(weights, "rrf.weights")]
    return edge.Fusion.Rrf(as_int(fields.get("k") or 2, "rrf.k", 1), weights)


def _sample(_reader: QueryReader, source: JsonObject) -> Any:
    as_choice(as_object(source, "query", ("sample",))["sample"], ("random",), "sample")
    return edge.Sample.Random


_KINDS: dict[str, Callable[[QueryReader, JsonObject], Any]] = {
    "nearest": QueryReader.nearest,
    "recommend": QueryReader.recommend,
    "discover": QueryReader.discover,
    "context": QueryReader.context,
    "order_by": lambda _, source: read_order_by(
        as_object(source, "query", ("order_by",))["order_by"]
    ),
    "fusion": _fusion,
    "rrf": _rrf,
    "sample": _sample,
    "formula": lambda _, source: read_formula(source),
}


def _level(fields: JsonObject, collection: Collection) -> JsonObject:
    """What a query and a prefetch have in common."""
    if given(fields, "lookup_from") is not None:
        raise not_offered("lookup_from")
    using = given(fields, "using")
    reader = QueryReader(collection, "" if using is None else as_text(using, "using"))
    if using is not None:
        spec_of(using, collection.specs)
    query = given(fields, "query")
    made = None if query is None else reader.read(query)
    prefetch = given(fields, "prefetch")
    threshold = given(fields, "score_threshold")
    prefetches = (
        [] if prefetch is None else [_prefetch(p, collection) for p in one_or_many(prefetch)]
    )
    if isinstance(made, edge.Fusion.Rrf | edge.Fusion.Dbsf) and not prefetches:
        raise bad_request("cannot apply Fusion without prefetches")
    return {
        "query": made,
        "prefetches": prefetches,
        "filter": _without(read_filter(given(fields, "filter")), reader.used_ids),
        "params": read_params(given(fields, "params")),
        "score_threshold": None if threshold is None else as_number(threshold, "score_threshold"),
    }


def _without(condition: edge.Filter | None, ids: list[Any]) -> edge.Filter | None:
    """A point never answers a query for points like itself."""
    if not ids:
        return condition
    must_not: list[Any] = [edge.HasIdCondition(set(ids))]
    return edge.Filter(must=None if condition is None else [condition], must_not=must_not)


def _prefetch(source: object, collection: Collection) -> edge.Prefetch:
    fields = as_object(source, "prefetch", _LEVEL)
    limit = fields.get("limit")
    limit = DEFAULT_LIMIT if limit is None else as_int(limit, "prefetch.limit", 1)
    return edge.Prefetch(limit, **_level(fields, collection))


def read_query(source: object, collection: Collection) -> edge.QueryRequest:
    """A `points/query` body. Raises `ApiError`."""
    fields = as_object(source, "the query", _QUERY)
    if given(fields, "shard_key") is not None:
        raise not_offered("shard_key")
    limit, offset = fields.get("limit"), fields.get("offset")
    return edge.QueryRequest(
        limit=DEFAULT_LIMIT if limit is None else as_int(limit, "limit", 1),
        offset=0 if offset is None else as_int(offset, "offset"),
        with_vector=read_with_vector(fields, collection.specs),
        with_payload=read_with_payload(given(fields, "with_payload"), default=False),
        **_level(fields, collection),
    )


def run(collection: Collection, request: edge.QueryRequest) -> list[Any]:
    """The points that answer a query. Raises `ApiError` 400 for a formula that has no value."""
    try:
        return collection.shard.query(request)
    except Exception as error:
        # All that the engine tells of a formula that failed for a point.
        if str(error).startswith("Operation cancelled"):
            raise bad_request(
                "the formula has no value for some point: a variable without a default is missing,"
                " or a result is not a finite number"
            ) from None
        raise


def from_search(source: object) -> JsonObject:
    """A body of the older `points/search` as one of `points/query`."""
    known = ("vector", "filter", "params", "limit", "offset", "with_payload", "with_vector")
    fields = as_object(source, "the body", (*known, "with_vectors", "score_threshold", "shard_key"))
    query = {key: value for key, value in fields.items() if key != "vector"}
    required(fields, "limit")
    vector = required(fields, "vector")
    if isinstance(vector, dict) and "name" in vector:
        named = as_object(vector, "vector", ("name", "vector"))
        query["using"], vector = named["name"], required(named, "vector")
    query["query"] = {"nearest": vector}
    return query
