"""Playbook for a GPU that is gone (guide 7 and 9.1): embed elsewhere, then mend the host."""

from __future__ import annotations

from chaos.playbooks.base import Playbook, Seen, Step, replaceable
from chaos.playbooks.looking import ask_prometheus, metric, twice
from harness.drivers.base import Stack


def _device_is_gone(stack: Stack) -> Seen:
    devices = ask_prometheus(stack, "count(DCGM_FI_DEV_GPU_UTIL)")
    xid = ask_prometheus(stack, "max(DCGM_FI_DEV_XID_ERRORS)")
    before, after = twice(lambda: _failed(stack))
    gone = not devices and bool(xid and xid[0])
    return Seen(
        gone and after > before,
        {
            "gpus_seen": devices[0] if devices else 0,
            "xid": xid[0] if xid else "none",
            "failed_embeddings": after - before,
        },
    )


def _failed(stack: Stack) -> float:
    return metric(stack, "gateway", "rag_gateway_upstream_errors_total", upstream="embed")


def _embed_elsewhere(stack: Stack) -> None:
    replaceable(stack).replace("gateway", {"GATEWAY_EMBED_PROVIDER": "fallback"})


def _embed_here(stack: Stack) -> None:
    replaceable(stack).replace("gateway", {"GATEWAY_EMBED_PROVIDER": "local"})


def _worker_is_left_alone(stack: Stack) -> Seen:
    before, after = twice(lambda: _failed(stack))
    return Seen(after == before, {"failed_embeddings": after - before})


GPU_LOST = Playbook(
    slug="gpu-lost",
    title="A GPU has fallen off the bus",
    section="7, 9.1",
    anchor="gpu-lost",
    starts_when="The figures of the GPU end while the host is up, with an XID error in the kernel "
    "log, or the embedding worker answers nothing but errors.",
    steps=(
        Step(
            slug="embed-elsewhere",
            sentence="If the GPU shows an XID error and no figures, and embedding fails, roll the "
            "gateway over to the fallback for good, so that no request waits for the worker first; "
            "then drain and reboot the host.",
            look="`nvidia-smi` says that it can't talk to the device; `dmesg | grep -i xid` names "
            "the error (79: fallen off the bus). In Prometheus: `DCGM_FI_DEV_XID_ERRORS`, and "
            '`rag_gateway_upstream_errors_total{upstream="embed"}` grows.',
            command="`GATEWAY_EMBED_PROVIDER=fallback docker compose up -d rag-gateway`, as the "
            "other colour; switch nginx once its /readyz says 200.",
            expect="No further failed embeddings; answers say degraded: embed_fallback.",
            way_back="The same with GATEWAY_EMBED_PROVIDER=local, once nvidia-smi lists it again.",
            condition=_device_is_gone,
            action=_embed_elsewhere,
            effect=_worker_is_left_alone,
            undo=_embed_here,
        ),
    ),
)
