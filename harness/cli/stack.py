"""``ragdrill up``, ``down``, ``status``, ``logs``, ``token``: a stack to look at and to try out."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.cli.stack_demo import Demo, prepare_demo, recall_demo
from harness.core.errors import UsageError
from harness.core.run import CHECKOUT, Run, scratch_root
from harness.core.target import TargetFile, load_target
from harness.drivers.base import Adapted
from harness.drivers.reference import ReferenceStack
from harness.drivers.registry import driver
from harness.drivers.running import processes, running, stopped, the_one

_FOLLOW_S = 0.2


def add_parsers(subparsers: Any) -> None:
    """Add the subcommands."""
    up = subparsers.add_parser(
        "up",
        help="boot the reference stack and leave it running",
        description="Boots the reference stack with a demo user and a few documents, or the stack "
        "of a target file. It runs until `ragdrill down`.",
    )
    up.add_argument(
        "--driver",
        choices=("embedded", "containers", "compose"),
        help="processes, containers or a Compose project (default: the target file's, else the "
        "first)",
    )
    up.add_argument("--target", type=Path, metavar="FILE", help="a target file; compose needs one")
    up.add_argument(
        "--images",
        choices=("official", "local"),
        help="containers: official images (default), or those of `make images`",
    )
    up.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    up.add_argument(
        "--time-scale",
        type=float,
        default=1.0,
        metavar="X",
        help="divide the windows of alert rules by X (default: the real windows)",
    )
    up.add_argument("--no-sample", action="store_true", help="leave the document store empty")
    up.add_argument("--another", action="store_true", help="although one is up already")
    up.set_defaults(handler=up_command)

    down = subparsers.add_parser("down", help="end the stack that `ragdrill up` booted")
    _add_run(down)
    down.set_defaults(handler=down_command)

    status = subparsers.add_parser("status", help="what runs, how big it is, and what is not ready")
    _add_run(status)
    status.add_argument("--json", action="store_true", help="print one JSON object")
    status.set_defaults(handler=status_command)

    logs = subparsers.add_parser("logs", help="what a role wrote to its log")
    logs.add_argument("role", metavar="ROLE")
    logs.add_argument("-n", type=int, default=50, metavar="LINES", help="default: %(default)s")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    _add_run(logs)
    logs.set_defaults(handler=logs_command)

    token = subparsers.add_parser("token", help="print a fresh token of the demo user")
    _add_run(token)
    token.set_defaults(handler=token_command)


def _add_run(parser: Any) -> None:
    parser.add_argument("--run", metavar="ID", help="which stack, where several are up")


def up_command(options: argparse.Namespace) -> int:
    """Boot a stack that outlives this command; nothing is left when it does not come up."""
    root = scratch_root()
    already = running(root)
    if already and not options.another:
        raise UsageError(
            "A stack is up already.",
            expected="none",
            actual=", ".join(stack.run_id for stack in already),
            next_step="ragdrill status; ragdrill down; or ragdrill up --another",
        )
    if options.time_scale < 1:
        raise UsageError(
            "Alert windows can be shortened, not stretched.",
            expected="--time-scale of 1 or more",
            actual=options.time_scale,
        )
    console = Console(stderr=options.json, highlight=False, soft_wrap=True)
    stack = _planned(options, root, lambda line: console.print(line, markup=False))
    console.print(f"Booting the stack {stack.name} ...")
    began = time.monotonic()
    stack.up()
    try:
        demo = None
        if _takes_a_demo(stack):
            data = None if options.no_sample else CHECKOUT / "fixtures" / "data"
            demo = prepare_demo(stack, data)
        stack.detach()
    except BaseException:
        stack.down()
        raise
    seconds = time.monotonic() - began
    if options.json:
        print(json.dumps(_described(stack, demo, seconds), indent=1))
    else:
        _show_up(console, stack, demo, seconds)
    return 0


def _planned(
    options: argparse.Namespace, root: Path, tell: Callable[[str], None]
) -> ReferenceStack:
    """The stack that is asked for, to be left running.

    Raises UsageError for a target file that is not one to boot.
    """
    target = TargetFile() if options.target is None else load_target(options.target)
    name = options.driver or target.target.driver
    if name == "attach":
        raise UsageError(
            "The target file describes a stack that is up already.",
            expected="one of driver embedded, containers or compose",
            actual=f"driver {name}",
            next_step="ragdrill doctor --target FILE looks at it",
        )
    if options.images:
        os.environ["RAGDRILL_IMAGES"] = options.images
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    run_id = f"{stamp}-up-{secrets.token_hex(3)}"
    run = Run(
        run_id=run_id,
        directory=CHECKOUT / "runs" / f"{stamp}-up",
        scratch=root / run_id,
        profile="up",
        driver=name,
        target=target.target.name,
        seed=0,
        time_scale=options.time_scale,
    )
    stack: ReferenceStack = driver(name).for_run(run, target, tell)
    stack.outlives = True
    return stack


def _takes_a_demo(stack: ReferenceStack) -> bool:
    """Whether its gateway and its sign-in are asked as ours are."""
    adapted = isinstance(stack, Adapted) and bool(stack.gateway_api.spec)
    return not adapted and bool(
        "auth" in stack.roles() and stack.credentials("auth").get("service_key")
    )


def _described(stack: ReferenceStack, demo: Demo | None, seconds: float) -> dict[str, Any]:
    url = stack.endpoint("edge").url
    told = {
        "run_id": stack.run_id,
        "seconds": round(seconds, 2),
        "url": url,
        "endpoints": {role: stack.endpoint(role).url for role in stack.roles()},
        "missing": list(stack.missing),
        "logs": stack.state.log_dir,
        "state": str(stack.scratch),
    }
    if demo is None:
        return told
    return told | {
        "documents": demo.documents,
        "token": demo.token,
        "curl": demo.curl(url, demo.token),
    }


def _show_up(console: Console, stack: ReferenceStack, demo: Demo | None, seconds: float) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("role", "address", "software"):
        table.add_column(name, no_wrap=name != "software")
    for part in stack.components():
        software = f"{part.software} {part.version}"
        stand_in = f" [yellow](stand-in: {part.note})[/]" if part.stand_in else ""
        table.add_row(part.role, stack.endpoint(part.role).url, software + stand_in)
    console.print()
    console.print(table, soft_wrap=False)
    for text in stack.missing:
        console.print(f"[yellow]{text}[/]")
    url = stack.endpoint("edge").url
    console.print(f"\nUp in {seconds:.1f} s. Send requests to [bold]{url}[/]")
    if demo is None:
        console.print("\nragdrill status | ragdrill logs ROLE | ragdrill down")
        return
    console.print(f"{demo.documents} documents of tenant {demo.tenant}, persona {demo.persona}.")
    console.print(
        "\nA token, good for an hour (`ragdrill token` prints a fresh one), and a query:\n"
    )
    print(f"export TOKEN={demo.token}")
    print(demo.curl(url, "$TOKEN"))
    console.print("\nragdrill status | ragdrill logs ROLE | ragdrill down")


def down_command(options: argparse.Namespace) -> int:
    """End a stack; nothing of it stays but its logs."""
    stack = the_one(scratch_root(), options.run)
    began = time.monotonic()
    logs = stack.state.log_dir
    stack.down()
    print(f"{stack.run_id} ended in {time.monotonic() - began:.1f} s; its logs are in {logs}")
    return 0


def status_command(options: argparse.Namespace) -> int:
    """Show every process; exit code 1 when a role is down or not ready."""
    stack = the_one(scratch_root(), options.run)
    found, down = processes(stack), stopped(stack)
    healthy = not down and all(process.problem is None for process in found)
    if options.json:
        rows = [vars(process) for process in found]
        print(json.dumps({"run_id": stack.run_id, "processes": rows, "stopped": down}, indent=1))
        return 0 if healthy else 1
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("process", no_wrap=True)
    for name in ("pid", "memory", "up"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ready")
    for process in found:
        ready = "[green]yes[/]" if process.problem is None else f"[red]no[/]: {process.problem}"
        table.add_row(
            process.name,
            str(process.pid),
            f"{process.proportional / 1e6:.0f} MB",
            _age(process.uptime_s),
            ready,
        )
    for role in down:
        table.add_row(role, "", "", "", "[red]stopped[/]")
    console.print(table)
    total = sum(process.proportional for process in found) / 1e6
    console.print(f"{stack.run_id}: {total:.0f} MB in all; {stack.endpoint('edge').url}")
    return 0 if healthy else 1


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def logs_command(options: argparse.Namespace) -> int:
    """Print the end of a role's log, and what comes with ``-f``."""
    if options.n < 0:
        raise UsageError("-n counts lines.", expected="0 or more", actual=options.n)
    stack = the_one(scratch_root(), options.run)
    sizes = {path: path.stat().st_size for path in stack.log_files(options.role)}
    text = stack.logs(options.role, tail=options.n)
    sys.stdout.write(text)
    if text and not text.endswith("\n"):
        sys.stdout.write("\n")
    sys.stdout.flush()
    if options.follow:
        try:
            _follow(stack, options.role, sizes)
        except KeyboardInterrupt:
            return 0
    return 0


def _follow(stack: ReferenceStack, role: str, seen: dict[Path, int]) -> None:
    while stack.keeper.alive():
        for path in stack.log_files(role):
            with path.open("rb") as file:
                file.seek(seen.get(path, 0))
                new = file.read()
                seen[path] = file.tell()
            sys.stdout.write(new.decode("utf-8", "replace"))
        sys.stdout.flush()
        time.sleep(_FOLLOW_S)


def token_command(options: argparse.Namespace) -> int:
    """Sign the demo user in again."""
    print(recall_demo(the_one(scratch_root(), options.run)))
    return 0
