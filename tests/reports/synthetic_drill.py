"""Makes the history of a drill: one that passed, failed, or broke off midway."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.core import events
from tests.reports.synthetic_run import Maker

CASE = "recovery/rto::quarterly_drill"
PLAN = [
    {"step": "prepare", "title": "Fill the target and start the heartbeat writer"},
    {"step": "backup", "title": "Back up", "limit": 120.0, "source": "guide 4"},
    {"step": "verify", "title": "Verify the backup by a restore into a scratch place"},
    {"step": "destroy", "title": "Destroy both stores"},
    {"step": "restore", "title": "Restore", "limit": 3600.0, "source": "guide 4"},
    {"step": "answer", "title": "Wait for the first correct answer"},
    {"step": "compare", "title": "Compare content, settings and answers"},
    {"step": "measure", "title": "Measure what was lost"},
]
SECONDS = {
    "prepare": 8.2,
    "backup": 4.1,
    "verify": 11.3,
    "destroy": 0.6,
    "restore": 14.8,
    "answer": 1.9,
    "compare": 6.4,
    "measure": 0.8,
}


def drill(
    directory: Path,
    *,
    verdict: str = "pass",
    last: str = "measure",
    message: str = "",
    resumed: bool = False,
    whole: bool = True,
) -> Path:
    """Write a drill that ends (done, failed or cut off) in the step ``last``."""
    make = Maker(directory)
    make.start(profile="drill", target="staging")
    make.guide()
    make.components()
    make.begin(CASE, needs=("read", "write", "destroy"))
    make.write(
        events.DrillBegan(CASE, "j.doe@example", PLAN, "20261122T070000Z-drill" if resumed else "")
    )
    for number, step in enumerate(PLAN):
        name = str(step["step"])
        if resumed and number < 2:
            make.write(events.DrillStep(CASE, name, "carried", SECONDS[name]))
        else:
            make.write(events.DrillStep(CASE, name, "began"))
            make.now += SECONDS[name]
            if name == last and verdict == "error":
                break
            failed = name == last and verdict == "fail" and name in ("backup", "restore")
            detail = {"problem": "the object is truncated"} if failed else {}
            make.write(
                events.DrillStep(CASE, name, "failed" if failed else "done", SECONDS[name], detail)
            )
        _show(make, name, verdict)
        if name == last:
            break
    if whole:
        make.end(CASE, verdict, 48.0, message)
        make.finish()
    return directory


def _show(make: Maker, step: str, verdict: str) -> None:
    if step == "backup":
        objects = [
            {
                "name": f"2026-11-22/{name}",
                "sha256": hashlib.sha256(name.encode()).hexdigest(),
                "bytes": size,
                "verified": True,
            }
            for name, size in (
                ("rag-chunks-wordllama-256.snapshot", 48_300_112),
                ("metadata/base.tar.gz", 7_201_993),
                ("manifest.json", 18_204),
            )
        ]
        versions = {"vectordb": "0.9.1", "metadata": "18.6", "tool": "0.2.0"}
        make.write(
            events.DrillBackup(
                CASE,
                "rag-backups",
                "2026-11-22",
                "taken",
                "2026-11-22T08:00:20Z",
                "2026-11-22T08:00:24Z",
                versions,
                objects,
            )
        )
        make.measure(CASE, "backup", 4.1, "s", limit=120.0, method="begin to end of both scripts")
    if step == "compare":
        make.saw(CASE, "content of rag-chunks-wordllama-256", expected="1904 points, 7e1f")
        make.saw(CASE, "configuration, indexes and aliases", expected="the same settings")
        if verdict == "fail":
            make.saw(
                CASE,
                "agreement of metadata and vector store",
                "fail",
                expected="each chunk in both stores",
                actual="3 without_point, 0 without_row",
                details={"without_point": [{"tenant": "acme", "chunk": "doc-1#1.0"}]},
            )
    if step == "measure":
        make.saw(CASE, "recovery point of metadata", expected="at most 300 s of writes")
        make.measure(
            CASE,
            "recovery point, metadata",
            1.21,
            "s",
            limit=300.0,
            interval=[1.21, 1.63],
            method="age of the oldest acknowledged heartbeat that is gone",
        )
        make.measure(CASE, "recovery time", 16.7, "s", limit=3600.0, method="order to answer")
        make.measure(CASE, "heartbeats acknowledged", 412, "documents")
