"""``ragdrill doctor --target`` and ``ragdrill challenge``: what a stack of yours lets be shown."""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.cli.catalogue import collect
from harness.core.errors import HarnessError, UsageError
from harness.core.gateway_api import FEATURES, GatewayApi
from harness.core.guide import load_requirements
from harness.core.run import scratch_root
from harness.core.target import TargetFile, load_target
from harness.core.verdicts import ExitCode
from harness.drivers import challenge
from harness.drivers.attach import AttachedStack, attached
from harness.drivers.base import Kill, Links, Pause, ProcessIds, Replace, Restart, Volume
from harness.plugin.collection import Case

_CAPABILITIES = (Restart, Kill, Pause, Replace, Volume, Links, ProcessIds)


def add_parsers(subparsers: Any) -> None:
    """Add ``challenge``."""
    parser = subparsers.add_parser(
        "challenge",
        help="make, or check, the token that lets a stack of yours be broken",
        description="Prints a new token and the command that places it in each store of the "
        "target. Nothing is placed for you: that you can place it shows that the target is yours "
        "to break. Exit code 0, or with --check 2 when a store has not answered.",
    )
    parser.add_argument("--target", required=True, type=Path, help="the target file")
    parser.add_argument("--check", action="store_true", help="ask the target for its token")
    parser.set_defaults(handler=challenge_command)


def challenge_command(options: argparse.Namespace) -> int:
    """Print a token with the commands that place it, or ask the target for it."""
    stack, target = _load(options.target)
    if options.check:
        problems = challenge.unanswered(stack, target)
        for role, problem in problems.items():
            print(f"{role}: {problem}")
        print("not answered" if problems else "answered: what the file allows may be done")
        return ExitCode.HARNESS_ERROR if problems else ExitCode.PASS
    challenge.refuse_production(target)
    token = challenge.new_token()
    variable = target.target.challenge_env or "RAGDRILL_CHALLENGE"
    print(f"# A new token for the target {stack.name!r}. Place it in each of these:\n")
    for role, command in challenge.commands(stack, target, token).items():
        print(f"# {role}\n{command}\n")
    if target.target.challenge_env is None:
        print(f'# in [target] of {options.target}\nchallenge_env = "{variable}"\n')
    print(f"# then, wherever Ragdrill runs\nexport {variable}={token}")
    print(f"ragdrill challenge --target {options.target} --check")
    return ExitCode.PASS


def target_doctor(path: Path) -> int:
    """Print what is reachable, which credentials work, what may be done and so what can be shown.

    Returns 0 when every role answers and the challenge, where one is needed, is answered; else 2.
    """
    stack, target = _load(path)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"target {stack.name}: {path}", markup=False)
    broken = _print_roles(console, stack, target)
    allowed = ", ".join(each for each in ("read", "write", *challenge.HARMFUL) if _may(stack, each))
    console.print(f"\nallowed       {allowed}", markup=False)
    able = [each.__name__.lower() for each in _CAPABILITIES if isinstance(stack, each)]
    controlled = ", ".join(target.control) or "no [control.<role>] given"
    console.print(f"capabilities  {', '.join(able) or 'none'} ({controlled})", markup=False)
    _print_api(console, stack.gateway_api)
    production = _production(target)
    if production:
        console.print(f"production    {production}", markup=False)
    problem = "not asked" if production else _challenge(stack, target)
    console.print(f"challenge     {problem or 'answered'}", markup=False)
    if challenge.harm(target) and problem:
        broken += 1
    _print_shown(console, stack, collect())
    if broken:
        console.print(f"\n{broken} to mend before a run can start; see above.")
    return ExitCode.HARNESS_ERROR if broken else ExitCode.PASS


def _load(path: Path) -> tuple[AttachedStack, TargetFile]:
    target = load_target(path)
    if target.target.driver != "attach":
        raise UsageError(
            "Only a target that runs already can be looked at.",
            expected='driver = "attach"',
            actual=f"driver = {target.target.driver!r}",
            next_step="`ragdrill doctor` without --target checks this machine",
        )
    stack = attached("doctor", scratch_root() / "doctor", target)
    for role in target.roles:
        stack.credentials(role)
    return stack, target


def _may(stack: AttachedStack, permission: str) -> bool:
    return permission in stack.allow


def _print_roles(console: Console, stack: AttachedStack, target: TargetFile) -> int:
    table = Table(box=None, pad_edge=False)
    for column in ("role", "address", "answers", "without its credential"):
        table.add_column(column, overflow="fold")
    broken = 0
    for role in target.roles:
        problem = stack.problem(role)
        broken += bool(problem)
        table.add_row(
            role, stack.endpoint(role).url, problem or "yes", _anonymous(stack, role, problem)
        )
    console.print(table)
    return broken


def _anonymous(stack: AttachedStack, role: str, problem: str) -> str:
    if not stack.protects(role) or problem:
        return "-"
    return "refused" if stack.problem(role, anonymous=True) else "ANSWERS TOO"


def _print_api(console: Console, api: GatewayApi) -> None:
    """Say through which adapter the gateway is asked, and what its API so lacks."""
    if not api.spec:
        return
    console.print(f"adapter       {api.name} ({api.spec})", markup=False)
    for feature, what in FEATURES.items():
        if reason := api.missing(feature):
            console.print(f"  lacks       {feature} ({what}): {reason}", markup=False)


def _production(target: TargetFile) -> str:
    """What of the file says production, where it allows what production is never done."""
    try:
        challenge.refuse_production(target)
    except UsageError as error:
        return f"{error.actual}: refused. Next: {error.next_step}"
    return ""


def _challenge(stack: AttachedStack, target: TargetFile) -> str:
    if not challenge.harm(target):
        return "not needed: nothing harmful is allowed"
    try:
        problems = challenge.unanswered(stack, target)
    except HarnessError as error:
        return f"{error.what} Next: {error.next_step}"
    return "; ".join(f"{role}: {problem}" for role, problem in problems.items())


def _print_shown(console: Console, stack: AttachedStack, cases: list[Case]) -> None:
    """Say of each requirement with cases whether this target lets one of them run, and why not."""
    lacks: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for case in cases:
        missing = _missing(stack, case)
        lacks[case.slug].append((len(missing), ", ".join(missing)))
    slugs = [each.slug for each in load_requirements() if each.slug in lacks]
    shown = [slug for slug in slugs if any(count == 0 for count, _ in lacks[slug])]
    console.print(f"\n{len(shown)} of {len(slugs)} requirements with cases can be shown here:")
    for slug in shown:
        ready = sum(count == 0 for count, _ in lacks[slug])
        console.print(f"  {slug} ({ready} of {len(lacks[slug])} cases)", markup=False)
    if len(shown) < len(slugs):
        console.print("\nnot shown, for want of:")
    for slug in slugs:
        if slug not in shown:
            console.print(f"  {slug:<28} {min(lacks[slug])[1]}", markup=False)


def _missing(stack: AttachedStack, case: Case) -> list[str]:
    """What the case needs and this target lacks; a case that asks for no stack lacks nothing."""
    api = stack.gateway_api
    permissions = [f"allow {each}" for each in case.needs.permissions if not _may(stack, each)]
    roles = stack.roles()
    absent = [f"roles.{role}" for role in case.needs.roles if role not in roles]
    return permissions + absent + [each for each in case.needs.features if api.missing(each)]
