"""What a step looks at is there, live, and not fooled by a busy machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.playbooks.looking import busy_share, metric, thread_times
from harness.core.errors import TargetError

PAGE = b"""# TYPE rag_calls counter
rag_calls_total{upstream="embed"} 3
rag_calls_total{upstream="rerank"} 4
"""


@pytest.fixture
def served() -> Iterator[Any]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield SimpleNamespace(endpoint=lambda role: SimpleNamespace(url=url))
    server.shutdown()
    server.server_close()


def test_a_metric_is_summed_over_the_labels_that_are_not_named(served: Any) -> None:
    assert metric(served, "gateway", "rag_calls_total", upstream="embed") == 3
    assert metric(served, "gateway", "rag_calls_total") == 7
    assert metric(served, "gateway", "rag_other_total") == 0


def test_a_page_that_cannot_be_read_is_an_error_and_not_a_zero() -> None:
    nobody = SimpleNamespace(endpoint=lambda role: SimpleNamespace(url="http://127.0.0.1:1"))
    with pytest.raises(TargetError, match="metrics of gateway can't be read"):
        metric(nobody, "gateway", "rag_calls_total")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ran", "waited", "share"),
    [(2.9, 0.0, 0.97), (0.3, 2.7, 1.0), (0.1, 2.0, 0.1), (0.0, 2.9, 0.0), (0.01, 2.99, 0.03)],
    ids=["busy", "busy, but held up", "calm, and held up", "never ran", "held up all the time"],
)
def test_time_spent_waiting_for_a_processor_is_neither_busy_nor_idle(
    ran: float, waited: float, share: float
) -> None:
    seen = busy_share({"1": (10.0, 5.0)}, {"1": (10.0 + ran, 5.0 + waited)}, 3.0)
    assert seen == pytest.approx(share, abs=0.01)


def test_a_thread_that_was_not_there_before_counts_from_its_start() -> None:
    assert busy_share({}, {"1": (1.5, 0.0)}, 3.0) == pytest.approx(0.5)


def test_a_role_without_processes_uses_nothing() -> None:
    assert thread_times(()) == {} and busy_share({}, {}, 3.0) == 0.0
