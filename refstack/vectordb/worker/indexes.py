"""Payload indexes: from the API's schema to the engine's, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qdrant_edge as edge

from refstack.vectordb.checks import (
    JsonObject,
    as_bool,
    as_choice,
    as_int,
    as_list,
    as_object,
    as_text,
    required,
)
from refstack.vectordb.errors import ApiError, format_error, from_engine

_PLAIN = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "geo": edge.PayloadSchemaType.Geo,
    "text": edge.PayloadSchemaType.Text,
    "bool": edge.PayloadSchemaType.Bool,
    "datetime": edge.PayloadSchemaType.Datetime,
    "uuid": edge.PayloadSchemaType.Uuid,
}
_FLAGS = ("on_disk", "enable_hnsw")
_PARAMETERS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "keyword": (edge.KeywordIndexParams, ("is_tenant", "prefix", *_FLAGS)),
    "integer": (edge.IntegerIndexParams, ("lookup", "range", "is_principal", *_FLAGS)),
    "float": (edge.FloatIndexParams, ("is_principal", *_FLAGS)),
    "geo": (edge.GeoIndexParams, _FLAGS),
    "bool": (edge.BoolIndexParams, _FLAGS),
    "datetime": (edge.DatetimeIndexParams, ("is_principal", *_FLAGS)),
    "uuid": (edge.UuidIndexParams, ("is_tenant", *_FLAGS)),
    "text": (edge.TextIndexParams, ("lowercase", "ascii_folding", "phrase_matching", *_FLAGS)),
}
_TOKENIZERS = {
    "prefix": edge.TokenizerType.Prefix,
    "whitespace": edge.TokenizerType.Whitespace,
    "word": edge.TokenizerType.Word,
    "multilingual": edge.TokenizerType.Multilingual,
}


def _by_name(enumeration: Any) -> dict[str, Any]:
    return {
        name.lower(): getattr(enumeration, name)
        for name in vars(enumeration)
        if not name.startswith("_")
    }


_LANGUAGES = _by_name(edge.Language)
_SNOWBALL = _by_name(edge.SnowballLanguage)


def _stopwords(source: object) -> Any:
    if isinstance(source, str):
        return edge.StopwordsSet(languages={_language(source)})
    fields = as_object(source, "stopwords", ("languages", "custom"))
    languages = [_language(name) for name in as_list(fields.get("languages") or [], "languages")]
    custom = [as_text(word, "custom") for word in as_list(fields.get("custom") or [], "custom")]
    return edge.StopwordsSet(languages=set(languages), custom=set(custom))


def _language(name: object) -> Any:
    return _LANGUAGES[as_choice(name, tuple(_LANGUAGES), "stopwords")]


def _stemmer(source: object) -> Any:
    fields = as_object(source, "stemmer", ("type", "language"))
    as_choice(required(fields, "type"), ("snowball",), "stemmer.type")
    language = as_choice(required(fields, "language"), tuple(_SNOWBALL), "stemmer.language")
    return edge.SnowballParams(_SNOWBALL[language])


_TEXT: dict[str, Callable[[object], Any]] = {
    "tokenizer": lambda v: _TOKENIZERS[as_choice(v, tuple(_TOKENIZERS), "tokenizer")],
    "min_token_len": lambda v: as_int(v, "min_token_len"),
    "max_token_len": lambda v: as_int(v, "max_token_len"),
    "stopwords": _stopwords,
    "stemmer": _stemmer,
}


def read_schema(source: object) -> Any:
    """A `field_schema`: the name of a type, or parameters with `type`. Raises `ApiError`."""
    if isinstance(source, str):
        return _PLAIN[as_choice(source, tuple(_PLAIN), "field_schema")]
    fields = as_object(source, "field_schema")
    name = as_choice(required(fields, "type"), tuple(_PARAMETERS), "field_schema.type")
    make, flags = _PARAMETERS[name]
    extra = _TEXT if name == "text" else {}
    as_object(fields, f"field_schema of type `{name}`", ("type", *flags, *extra))
    arguments = {
        key: extra[key](value) if key in extra else as_bool(value, key)
        for key, value in fields.items()
        if key != "type" and value is not None
    }
    if name == "integer" and arguments.get("lookup") is False and arguments.get("range") is False:
        raise ApiError(
            422,
            "Validation error in JSON body: [field_schema: the 'lookup' and 'range' capabilities "
            "can't be both disabled]",
        )
    try:
        return make(**arguments)
    except (ValueError, TypeError) as error:
        raise from_engine(error) from None


def read_index(body: JsonObject) -> tuple[str, Any]:
    """Name and schema of a `PUT .../index` body. Raises `ApiError`."""
    as_object(body, "the body", ("field_name", "field_schema"))
    name = as_text(required(body, "field_name"), "field_name")
    if not name:
        raise format_error("field_name must not be empty")
    if body.get("field_schema") is None:
        raise format_error(
            "missing field `field_schema`, expected one of "
            + ", ".join(f"`{known}`" for known in _PLAIN)
        )
    return name, read_schema(body["field_schema"])


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, edge.StopwordsSet):
        found: JsonObject = {}
        if value.languages:
            found["languages"] = sorted(_variant(language) for language in value.languages)
        if value.custom:
            found["custom"] = sorted(value.custom)
        return found
    if isinstance(value, edge.SnowballParams):
        return {"type": "snowball", "language": _variant(value.language)}
    return _variant(value)


def _variant(value: Any) -> str:
    return str(value).rsplit(".", 1)[-1].lower()


def schema_of(info: Any) -> JsonObject:
    """A `PayloadIndexInfo` of the engine as the API shows it."""
    name = _variant(info.data_type)
    shown: JsonObject = {"data_type": name, "points": info.points}
    if info.params is not None:
        flags = _PARAMETERS[name][1]
        keys = (*_TEXT, *flags) if name == "text" else flags
        found = {key: _plain(getattr(info.params, key, None)) for key in keys}
        shown["params"] = {"type": name, **{k: v for k, v in found.items() if v is not None}}
    return shown


def stored_schema(shown: JsonObject) -> Any:
    """The same as it stands in `payload_index.json` of a snapshot."""
    return shown.get("params") or shown["data_type"]
