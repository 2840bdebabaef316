"""Whether a vector store holds and answers what it held and answered before an upgrade."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from harness.checks.answers import (
    answers_differ,
    configuration,
    configuration_differences,
    top_k_answers,
)
from harness.checks.collection import Collection
from harness.checks.content import content_verdict
from harness.checks.digest import Digest, digest
from harness.core.verdicts import Verdict
from scripts.dayops.scratch_collections import is_scratch
from scripts.dayops.script import Log
from scripts.dayops.vectorstore import VectorStore

QUESTIONS = 20
"""Random directions that each vector of each collection is asked for, the same before and after."""
_SEED = 20260509


def answers(store: VectorStore, name: str) -> dict[str, Any]:
    """Return the exact top-k answers of a collection, by the name of the vector ("": unnamed)."""
    with store.reader(name) as reader:
        return dict(_answers(reader, configuration(reader)))


def _answers(reader: Collection, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    vectors = settings["config"]["params"].get("vectors") or {}
    named = {"": vectors} if "size" in vectors else vectors
    for name, one in sorted(named.items()):
        if one.get("multivector_config"):
            continue
        asked = np.random.default_rng(_SEED).normal(size=(QUESTIONS, int(one["size"]))).tolist()
        yield name, top_k_answers(reader, asked, using=name or None)


def differences(
    store: VectorStore,
    document: Mapping[str, Any],
    before: Mapping[str, Any],
    log: Log,
    *,
    exactly: bool,
) -> list[str]:
    """Return how a store differs from the backup that was taken before, one sentence each.

    Content, settings, indexes, aliases and answers are compared. A new version may have settings
    that the old one did not know: unless ``exactly``, what is new is let pass, and nothing else.
    """
    found = []
    there = [name for name in store.collections() if not is_scratch(name)]
    wanted = [entry["name"] for entry in document["collections"]]
    if sorted(wanted) != there:
        found.append(f"collections: {', '.join(wanted)} before, {', '.join(there) or 'none'} now")
    for entry in document["collections"]:
        if entry["name"] in there:
            found += _of_collection(store, entry, before.get(entry["name"], {}), log, exactly)
    aliases = {alias: name for alias, name in store.aliases().items() if name in wanted}
    if aliases != document["aliases"]:
        found.append(f"aliases: {document['aliases']} before, {aliases} now")
    return found


def _of_collection(
    store: VectorStore,
    entry: Mapping[str, Any],
    before: Mapping[str, Any],
    log: Log,
    exactly: bool,
) -> Iterator[str]:
    name = entry["name"]
    with store.reader(name, lambda n: log.progress(f"{name}: {n} points compared")) as reader:
        now, settings = digest(reader), configuration(reader)
        answered = dict(_answers(reader, settings))
    then = Digest.from_json(entry["digest"])
    if content_verdict(then, now).verdict is Verdict.FAIL:
        yield f"content of {name}: {then.count} points {then.total[:16]} before, " + (
            f"{now.count} points {now.total[:16]} now"
        )
    for each in configuration_differences(entry["configuration"], settings):
        if exactly or each["before"] is not None:
            yield f"settings of {name}: {each['path']}"
    for vector, series in before.items():
        fresh = answered.get(vector, [])
        for number, one in enumerate(series):
            apart = answers_differ(one, fresh[number]) if number < len(fresh) else "no answer"
            if apart:
                yield f"answers of {name}: question {number + 1} of {vector or 'its vector'}: " + (
                    apart
                )
                break
