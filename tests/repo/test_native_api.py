"""A case about the reference gateway's own requests says so, so that another API skips it."""

from __future__ import annotations

import ast

from tests.repo import checkout

RAW = {"hostile", "siege", "bench"}
"""Fixtures that send requests of the reference API as they are written."""


def _cases() -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{path}::{node.name}", node)
        for path in checkout.python_files()
        if path.parts[0] == "suites" or path.parts[:2] == ("chaos", "scenarios")
        for node in ast.parse(checkout.read(path)).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def _declares(case: ast.FunctionDef) -> bool:
    return any(
        isinstance(each, ast.Constant) and each.value == "native-api"
        for decorator in case.decorator_list
        for each in ast.walk(decorator)
    )


def _sends_raw(case: ast.FunctionDef) -> bool:
    asked = {argument.arg for argument in case.args.args} & RAW
    written = any(
        isinstance(each, ast.Constant)
        and str(each.value).startswith(("/v1/query", "/v1/documents"))
        for statement in case.body[1:]
        for each in ast.walk(statement)
    )
    return bool(asked) or written


def test_every_case_that_sends_raw_requests_needs_the_native_api() -> None:
    silent = [name for name, case in _cases() if _sends_raw(case) and not _declares(case)]
    assert not silent, f'add features=["native-api"] to @needs of {silent}'


def test_there_are_such_cases_and_others() -> None:
    found = [_declares(case) for _, case in _cases()]
    assert found.count(True) > 10 and found.count(False) > 10
