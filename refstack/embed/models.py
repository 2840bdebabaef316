"""What an embedding model is to the worker, and which ones there are."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class ModelUnavailable(Exception):
    """A model cannot be loaded on this machine; the text says what is missing."""


@dataclass(frozen=True)
class Embedded:
    """Vectors of unit length, shape (texts, dimension), and the number of tokens read."""

    vectors: Vectors
    tokens: int


class Model(Protocol):
    """A loaded model. A text's vector never depends on the other texts of the call."""

    dimension: int

    def embed(self, texts: list[str]) -> Embedded:
        """Embed texts, each of at least one character."""


def package_file(package: str, *parts: str) -> Path:
    """A data file of an installed package, found without importing the package.

    Raises ModelUnavailable where the package or the file is missing.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        raise ModelUnavailable(f"the package {package} is not installed; run `pip install -e .`")
    path = Path(folders[0]).joinpath(*parts)
    if not path.is_file():
        raise ModelUnavailable(f"{package} is installed but holds no {'/'.join(parts)}")
    return path


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length one; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32, copy=False)
    return scaled


def _wordllama(device: str) -> Model:
    from refstack.embed.wordllama import WordLlama

    return WordLlama()


def _minilm(device: str) -> Model:
    from refstack.embed.minilm import MiniLm

    return MiniLm(device)


LOADERS: dict[str, Callable[[str], Model]] = {"wordllama-256": _wordllama, "minilm-384": _minilm}
"""Loads a model on a device (`cpu` or `cuda`) by name; raises ModelUnavailable."""

ON_CUDA = {"wordllama-256": False, "minilm-384": True}
"""Which models onnxruntime runs; a look-up of token vectors has nothing to compute on a GPU."""

DIMENSIONS = {"wordllama-256": 256, "minilm-384": 384}
