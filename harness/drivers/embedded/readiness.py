"""Whether a process would serve a request right now, asked in its own protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from harness.core.errors import TargetError
from harness.drivers.embedded import http
from harness.drivers.embedded.parts import Parts
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.postgres import ADMIN
from harness.drivers.embedded.seaweed import BUCKET

PROBE_S = 2.0
_PAUSE_S = 0.05
# How often a starting process is asked for, and how often the keeper is asked whether it died.
_LIFE_CHECK_S = 0.2
_PATHS = {"metrics": "/-/ready", "alerts": "/-/ready", "faultproxy": "/version"}

Probe = Callable[[], str | None]
"""Returns None when ready, else the reason why not."""


class NotReady(TargetError):
    """A process did not become ready in time, or died before."""


def probe(processes: Parts, name: str) -> Probe:
    """A probe of one process that keeps nothing open between calls."""
    own = processes.own_probe(name)
    if own is not None:
        return own
    if name == "metadata":
        return lambda: _postgres(processes)
    if name == "objectstore":
        return lambda: bucket_there(processes, BUCKET)
    path = _PATHS.get(name, "/readyz")
    headers = {}
    if name == "vectordb":
        headers["api-key"] = processes.secrets.values["vectordb_read_only_api_key"]
    return over_http(f"http://{HOST}:{processes.port(name)}{path}", headers)


def over_http(url: str, headers: Mapping[str, str] | None = None) -> Probe:
    """A probe that wants a 200."""

    def ask() -> str | None:
        answer = http.request("GET", url, headers=dict(headers or {}), timeout_s=PROBE_S)
        return None if answer.status == 200 else f"{answer.status}: {answer.text[:300]}"

    return ask


def _postgres(processes: Parts) -> str | None:
    import psycopg

    password = processes.secrets.values[f"{ADMIN}_password"]
    try:
        with psycopg.connect(processes.cluster.dsn(ADMIN, password), connect_timeout=2) as database:
            database.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).strip()
    return None


def bucket_there(processes: Parts, bucket: str) -> str | None:
    """Why the object store would not serve the bucket; None where it would."""
    # Before it serves S3 at all, asking with a client that retries would only take time.
    http.request("GET", f"http://{HOST}:{processes.port('objectstore')}/healthz", timeout_s=PROBE_S)
    import minio
    import urllib3

    values = processes.secrets.values
    client = minio.Minio(
        f"{HOST}:{processes.port('objectstore')}",
        values["objectstore_access_key"],
        values["objectstore_secret_key"],
        secure=False,
        region="us-east-1",
        http_client=urllib3.PoolManager(retries=False, timeout=PROBE_S),
    )
    try:
        found = client.bucket_exists(bucket)
    except (minio.error.MinioException, urllib3.exceptions.HTTPError) as error:
        return str(error)
    return None if found else f"there is no bucket {bucket} yet"


def wait_ready(
    processes: Parts,
    name: str,
    timeout_s: float,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Return once the process is ready; raises NotReady with the reason and its last log lines."""
    ask = probe(processes, name)
    started = time.monotonic()
    reason: str | None = "it was not asked yet"
    life_check = started
    while True:
        try:
            reason = ask()
        except OSError as error:
            reason = str(error) or type(error).__name__
        if reason is None or cancelled():
            return
        now = time.monotonic()
        if now >= life_check:
            life_check = now + _LIFE_CHECK_S
            ended = processes.ended(name)
            if ended is not None:
                raise _not_ready(processes, name, "a running process", ended)
        if now - started > timeout_s:
            raise _not_ready(processes, name, f"ready within {timeout_s:g} s", str(reason))
        time.sleep(_PAUSE_S)


def _not_ready(processes: Parts, name: str, expected: str, actual: str) -> NotReady:
    log = processes.log(name)
    return NotReady(
        f"{name} is not ready.",
        expected=expected,
        actual=f"{actual}\n  its log ends with:\n{processes.last_words(name)}",
        next_step=f"read {log}; `ragdrill doctor` checks this machine",
    )
