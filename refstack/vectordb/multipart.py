"""Takes the one file out of a multipart upload, straight to disk."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from python_multipart import multipart
from python_multipart.exceptions import MultipartParseError

from refstack.vectordb.errors import format_error


class _FilePart:
    """Parser callbacks that write the part named `field` to `target`."""

    def __init__(self, target: IO[bytes], field: str) -> None:
        self.found = False
        self.ended = False
        self._target = target
        self._field = field.encode()
        self._digest = hashlib.sha256()
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._taking = False

    @property
    def sha256(self) -> str:
        """Hex digest of what was written."""
        return self._digest.hexdigest()

    def on_part_begin(self) -> None:
        self._disposition = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def on_headers_finished(self) -> None:
        _, options = multipart.parse_options_header(self._disposition)
        self._taking = options.get(b"name") == self._field and not self.found
        self.found = self.found or self._taking

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._taking:
            self._digest.update(data[start:end])
            self._target.write(data[start:end])

    def on_part_end(self) -> None:
        self._taking = False

    def on_end(self) -> None:
        self.ended = True


async def receive_file(
    chunks: AsyncIterator[bytes], content_type: str, target: Path, field: str = "snapshot"
) -> str:
    """Write the part named `field` to `target`; returns its SHA-256 in hex.

    Raises `ApiError` 400 for another content type, a missing part, or an upload that broke off.
    """
    kind, options = multipart.parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise format_error(
            f"expected Content-Type multipart/form-data with a boundary, got `{content_type}`",
            "multipart form",
        )
    with target.open("wb") as handle:
        part = _FilePart(handle, field)
        parser = multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": part.on_part_begin,
                "on_header_field": part.on_header_field,
                "on_header_value": part.on_header_value,
                "on_header_end": part.on_header_end,
                "on_headers_finished": part.on_headers_finished,
                "on_part_data": part.on_part_data,
                "on_part_end": part.on_part_end,
                "on_end": part.on_end,
            },
        )
        try:
            async for chunk in chunks:
                parser.write(chunk)
            parser.finalize()
        except MultipartParseError as error:
            raise format_error(str(error), "multipart form") from None
        if not part.found:
            raise format_error(f"field `{field}` is missing", "multipart form")
        if not part.ended:
            raise format_error("the upload broke off before its end", "multipart form")
        return part.sha256
