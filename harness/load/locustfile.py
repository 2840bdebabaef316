"""The generator process: one greenlet for each arrival of a schedule, run by Locust.

It reads ``plan.json``, ``arrivals.f64`` and ``choices.i32`` from its working directory, secrets
and orders from the socket whose number is in ``RAGDRILL_LOAD_FD``, and writes ``samples.jsonl``.
The end of that socket is the end of the process: a generator never outlives who asked for it.
"""

from __future__ import annotations

import array
import ctypes
import gc
import json
import os
import re
import signal
import time
import traceback
from pathlib import Path
from typing import Any

import gevent
from gevent import socket
from gevent.event import Event
from gevent.pool import Group
from locust import User, task

from harness.core.adapters import load_api
from harness.core.errors import HarnessError
from harness.core.gateway_api import Reply, from_json
from harness.load.exchange import Exchanger, Outcome
from harness.load.extract import extract

FLUSH_S = 0.1


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends."""
    parent = os.environ.get("RAGDRILL_LOAD_PARENT")
    if parent is None:
        return
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        os._exit(3)


_die_with_parent()


class Prepared:
    """A template made ready to send: bytes, with the arrival number still to be filled in."""

    def __init__(
        self, template: dict[str, Any], exchanger: Exchanger, secrets: dict[str, str]
    ) -> None:
        self.method: str = template["method"]
        self.key: str = template["key"]
        self.operation = from_json(template["operation"]) if template["operation"] else None
        headers = {"Host": exchanger.authority, "Accept": "*/*", "User-Agent": "ragdrill-load"}
        body = ""
        if template["json"] is not None:
            body = json.dumps(template["json"], ensure_ascii=False, separators=(",", ":"))
            headers["Content-Type"] = "application/json"
        for name, value in template["headers"].items():
            headers[name] = re.sub(r"\{token:([^}]*)\}", lambda m: secrets[m.group(1)], value)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._target = exchanger.prefix + template["path"]
        self._lines = lines
        self._body = body
        self._numbered = "{i}" in self._target or "{i}" in body
        self._ready = self._assemble(self._target, body)

    def _assemble(self, target: str, body: str) -> bytes:
        payload = body.encode()
        length = f"Content-Length: {len(payload)}\r\n" if payload or self.method != "GET" else ""
        return f"{self.method} {target} HTTP/1.1\r\n{self._lines}{length}\r\n".encode() + payload

    def data(self, number: int) -> bytes:
        """Return the request for arrival ``number``."""
        if not self._numbered:
            return self._ready
        text = str(number)
        return self._assemble(self._target.replace("{i}", text), self._body.replace("{i}", text))


class Generator:
    """Runs the schedule and writes one JSON line for each arrival."""

    def __init__(self, control: Any) -> None:
        self.control = control
        self.stopping = Event()
        secrets = json.loads(self._order())["secrets"]
        self.plan: dict[str, Any] = json.loads(Path("plan.json").read_text())
        self.times = array.array("d", Path("arrivals.f64").read_bytes())
        self.choices = array.array("i", Path("choices.i32").read_bytes())
        self.exchanger = Exchanger(
            self.plan["base_url"],
            fresh=self.plan["fresh_connections"],
            timeout_s=self.plan["timeout_s"],
            ca_file=self.plan["ca_file"],
        )
        self.templates = [
            Prepared(template, self.exchanger, secrets) for template in self.plan["requests"]
        ]
        self.api = load_api(self.plan["adapter"])
        self.wanted: list[str] = list(self.plan["record_headers"])
        self.paths: dict[str, str] = dict(self.plan["extract"])
        self.lines: list[str] = []
        self.began = 0.0

    def _order(self) -> str:
        """Return the next line from the parent; the empty string is the end of it."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self.control.recv(1)
            if not byte:
                return ""
            line += byte
        return line.decode()

    def _listen(self) -> None:
        while True:
            if not self._order():
                os._exit(3)
            self.stopping.set()

    def _say(self, **message: Any) -> None:
        self.control.sendall(json.dumps(message).encode() + b"\n")

    def _write(self, file: Any) -> None:
        if self.lines:
            lines, self.lines = self.lines, []
            file.write("".join(lines))
            file.flush()

    def _write_often(self, file: Any) -> None:
        while True:
            gevent.sleep(FLUSH_S)
            self._write(file)

    def run(self) -> None:
        """Run the whole schedule, wait for what is open, and report."""
        gevent.spawn(self._listen)
        gc.collect()
        gc.freeze()
        with Path("samples.jsonl").open("a", encoding="utf-8") as file:
            writer = gevent.spawn(self._write_often, file)
            open_requests = Group()
            self.began = time.monotonic()
            self._say(event="started", monotonic=self.began, utc=time.time())
            taken = self._arrive(open_requests)
            open_requests.join(timeout=self.plan["timeout_s"] + 5)
            writer.kill()
            self._write(file)
        self.exchanger.close()
        self._say(
            event="finished",
            arrivals=taken,
            still_open=len(open_requests),
            seconds=time.monotonic() - self.began,
        )

    def _arrive(self, open_requests: Group) -> int:
        limit: int = self.plan["max_in_flight"]
        for number, intended in enumerate(self.times):
            while (wait := self.began + intended - time.monotonic()) > 0:
                if self.stopping.wait(wait):
                    return number
            if self.stopping.is_set():
                return number
            if len(open_requests) >= limit:
                self._keep({"i": number, "intended": intended, "error": "dropped"})
            else:
                open_requests.spawn(self._one, number, intended)
            # Being late must not starve the requests that are already under way.
            gevent.sleep(0)
        return len(self.times)

    def _one(self, number: int, intended: float) -> None:
        template = self.templates[self.choices[number]]
        started = time.monotonic() - self.began
        outcome = self.exchanger.send(template.method, template.data(number))
        finished = time.monotonic() - self.began
        body = self._read(template, outcome)
        sample: dict[str, Any] = {
            "i": number,
            "key": template.key,
            "intended": intended,
            "started": round(started, 6),
            "finished": round(finished, 6),
            "status": outcome.status,
            "error": outcome.error,
            "bytes": len(outcome.body),
            "reused": outcome.reused,
        }
        if self.wanted:
            sample["headers"] = self._headers(outcome)
        if self.paths:
            sample["extract"] = extract(body, self.paths)
        self._keep(sample)

    def _read(self, template: Prepared, outcome: Outcome) -> bytes:
        """Put what the adapter says in the place of status and body; nothing without one."""
        if template.operation is None or outcome.response is None:
            return outcome.body
        headers = {str(name).lower(): str(value) for name, value in outcome.response.items()}
        reply = Reply(outcome.status, headers, outcome.body.decode(errors="replace"))
        try:
            said = self.api.read(template.operation, reply)
        except HarnessError:
            # Neither a success nor a refusal of the target, so no sample may take it for one.
            outcome.status, outcome.error = 0, "unreadable"
            return b""
        outcome.status = said.status
        return json.dumps(said.body).encode()

    def _keep(self, sample: dict[str, Any]) -> None:
        self.lines.append(json.dumps(sample, separators=(",", ":")) + "\n")

    def _headers(self, outcome: Outcome) -> dict[str, str]:
        kept: dict[str, str] = {}
        if outcome.response is not None:
            for name in self.wanted:
                value = outcome.response.get(name)
                if value is not None:
                    kept[name] = value if isinstance(value, str) else ", ".join(value)
        return kept


class Arrivals(User):
    """The one Locust user; its one task is the whole schedule."""

    fixed_count = 1

    @task
    def run_schedule(self) -> None:
        """Run the schedule, then end the process."""
        try:
            control = socket.socket(fileno=int(os.environ["RAGDRILL_LOAD_FD"]))
            Generator(control).run()
        except BaseException:
            # Locust would log an error of a task and run the task again.
            traceback.print_exc()
            os._exit(4)
        self.environment.process_exit_code = 0
        gevent.spawn(self.environment.runner.quit)
        Event().wait()
