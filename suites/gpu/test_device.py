"""monitor/gpu-figures on a real device: it is used, it is worth it, and it may be gone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import pytest

from fixtures.corpus import Corpus
from fixtures.gpu import Embedder, Nvml, device_of, embedder
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.checks.gpu import worked_on_device
from harness.checks.means import paired_verdict
from harness.core.errors import NotAllowed, TargetError
from harness.core.evidence import Evidence
from harness.drivers.base import Restart, Stack

pytestmark = pytest.mark.gpu

BATCH = 32
BATCHES = 15
LOAD_S = 4.0
"""Longer than NVML's sampling period, which is a second at most."""
SAME = 0.999
"""Cosine of the two devices' vectors of a text: rounding of single precision over six layers."""


@conformance("monitor/gpu-figures", since="0.2", profiles=("gpu",))
@needs("read", "restart", roles=["embed"])
def test_embedding_runs_on_the_device(
    stack: Stack, nvml: Nvml, gpu_embed: Embedder, documents: Corpus, evidence: Evidence
) -> None:
    """A worker that says it runs on CUDA MUST be seen at work on a device, by the driver's own
    account, while it embeds."""
    evidence.require(
        "the worker says that it runs on CUDA",
        device_of(stack, "embed") == "cuda",
        expected="cuda",
        actual=device_of(stack, "embed"),
    )
    texts = [passage.text for passage in documents.passages]
    deadline, done = time.monotonic() + LOAD_S, 0
    with nvml.watched() as busy:
        while time.monotonic() < deadline or not done:
            gpu_embed.embed([texts[(done + i) % len(texts)] for i in range(BATCH)])
            done += BATCH
    evidence.measure("texts embedded", done, "texts")
    evidence.measure("utilisation", max(each.utilization for each in busy), "%", n=len(busy))
    evidence.check(worked_on_device(gpu_embed.idle, busy, gpu_embed.pids))


@conformance("monitor/gpu-figures", since="0.2", profiles=("gpu",))
@needs("read", "restart", roles=["embed", "fallback"])
@pytest.mark.timing
def test_the_device_embeds_the_same_vectors_faster(
    stack: Stack, gpu_embed: Embedder, documents: Corpus, evidence: Evidence
) -> None:
    """The same texts MUST give the same vectors on the device as on the CPU, and more of them a
    second."""
    cpu = embedder(stack, "fallback")
    if device_of(stack, "fallback") != "cpu":
        raise NotAllowed("There is no worker on the CPU to compare with.", expected="fallback")
    texts = [passage.text for passage in documents.passages]
    batches = [
        [texts[(at * BATCH + i) % len(texts)] for i in range(BATCH)] for at in range(BATCHES)
    ]
    # Once on each, so that both have the model in memory.
    cpu.embed(batches[0])
    gpu_embed.embed(batches[0])
    seconds: list[tuple[float, float]] = []
    worst = 1.0
    for batch in batches:
        (ours, fast), (theirs, slow) = gpu_embed.embed(batch), cpu.embed(batch)
        worst = min(worst, float((ours * theirs).sum(axis=1).min()))
        seconds.append((fast, slow))
    evidence.require(
        f"each of {BATCH * BATCHES} texts has the same vector on both",
        worst >= SAME,
        expected=f"a cosine of {SAME} or more",
        actual=worst,
    )
    fast, slow = np.array(seconds).T
    evidence.measure("texts a second on the device", BATCH / float(np.median(fast)), "texts/s")
    evidence.measure("texts a second on the CPU", BATCH / float(np.median(slow)), "texts/s")
    evidence.check(
        paired_verdict(
            np.log(fast), np.log(slow), 0.0, what="log of how many times faster the device is"
        )
    )


@conformance("monitor/gpu-figures", since="0.2", profiles=("gpu",))
@needs("read", "write", "restart", roles=["edge", "auth", "embed", "fallback"])
def test_questions_are_answered_without_the_device(
    stack: Stack,
    nvml: Nvml,
    gpu_embed: Embedder,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    evidence: Evidence,
) -> None:
    """Without its device a worker that was promised one MUST NOT go on as if it had it, and
    questions MUST be answered and say what the answer lacks."""
    if not isinstance(stack, Restart):
        raise NotAllowed("Embed can't be given other settings.", actual=type(stack).__name__)
    gateway = connect(new_tenant("device", ("work",)).token)
    gateway.put_document("work", "The spare card lies in the second drawer.").expect(201)
    shown = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(r.uuid for r in nvml.read())
    came_up = True
    try:
        try:
            stack.restart("embed", {"EMBED_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": ""})
        except TargetError:
            came_up = False
        evidence.require(
            "embed does not come up without the device that it was promised",
            not came_up,
            expected="the end of the process, with status 2",
            actual="it came up" if came_up else "it did not come up",
        )
        answer = gateway.query("Where is the spare card?", "work").expect(200).json
        evidence.require(
            "a question is answered, and told what the answer lacks",
            bool(answer["results"]) and "embed_fallback" in (answer["degraded"] or ()),
            expected="results, degraded by embed_fallback",
            actual=[len(answer["results"]), answer["degraded"]],
        )
    finally:
        stack.restart("embed", {"EMBED_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": shown})
    vectors, _ = gpu_embed.embed(["The device is back."])
    evidence.require(
        "with the device back, embed is on it again",
        device_of(stack, "embed") == "cuda" and vectors.shape == (1, 384),
        expected="cuda",
        actual=device_of(stack, "embed"),
    )
