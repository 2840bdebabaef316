"""WordLlama: static token vectors of 256 dimensions, read straight from the package's files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from refstack.embed.models import Embedded, ModelUnavailable, Vectors, package_file, unit

_PACKAGE = "wordllama"
_TENSOR = "embedding.weight"


class WordLlama:
    """The mean of a text's token vectors; gives what `WordLlama.load().embed(norm=True)` gives.

    The package's own loader would import its HTTP client and hold a second, wider copy of the
    weights. Here the file is mapped: processes on one machine share its 16 MB.
    """

    def __init__(self) -> None:
        vocabulary = package_file(_PACKAGE, "tokenizers", "l2_supercat_tokenizer_config.json")
        self._weights = _mapped(package_file(_PACKAGE, "weights", "l2_supercat_256.safetensors"))
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.dimension = int(self._weights.shape[1])

    def token_ids(self, text: str) -> npt.NDArray[np.int64]:
        """The ids of the text's tokens, in order."""
        ids = np.asarray(self._tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)
        return np.clip(ids, 0, len(self._weights) - 1)

    def vectors_of(self, ids: npt.NDArray[np.int64]) -> Vectors:
        """The raw vectors of token ids, shape (ids, dimension)."""
        return np.asarray(self._weights[ids], dtype=np.float32)

    def embed(self, texts: list[str]) -> Embedded:
        """Embed texts, each of at least one character: the tokenizer puts a space before it."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        tokens = 0
        for row, text in enumerate(texts):
            ids = self.token_ids(text)
            tokens += len(ids)
            vectors[row] = self.vectors_of(ids).mean(axis=0)
        return Embedded(unit(vectors), tokens)


def _mapped(path: Path) -> npt.NDArray[np.float16]:
    """The one tensor of a safetensors file (8 bytes of header length, JSON header, data)."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size)) if size < 1 << 20 else {}
    tensor = header.get(_TENSOR, {})
    if tensor.get("dtype") != "F16":
        raise ModelUnavailable(f"{path.name} holds no half-precision tensor {_TENSOR}")
    start = 8 + size + tensor["data_offsets"][0]
    return np.memmap(path, np.float16, mode="r", offset=start, shape=tuple(tensor["shape"]))
