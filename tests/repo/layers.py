"""Who may import whom: ARCHITECTURE.md's list as data, and a checker that reads it off the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LAYERS: tuple[tuple[str, ...], ...] = (
    ("suites", "chaos.scenarios"),
    ("fixtures",),
    ("harness.cli",),
    ("harness.plugin",),
    ("chaos.faults", "chaos.playbooks", "reports"),
    ("harness.drivers", "harness.checks", "harness.load"),
    ("harness.core",),
)
"""From the top; a part may import the parts of lower lines, and nothing else of ours."""

ONLY: dict[str, tuple[str, ...]] = {
    "reports": ("harness.core",),
    "refstack": (),
    "scripts": ("harness.core", "harness.checks"),
}
"""Parts that may import less than their line allows, or that stand outside the list."""

ANYTHING = ("tests", "benchmarks")
OURS = ("suites", "chaos", "fixtures", "harness", "reports", "refstack", "scripts", *ANYTHING)
PARTS = (*(part for line in LAYERS for part in line), "refstack", "scripts", *ANYTHING)


@dataclass(frozen=True)
class Import:
    """One import: where it stands, and the dotted name that it brings in."""

    path: Path
    line: int
    name: str


def violations(root: Path, files: tuple[Path, ...]) -> list[str]:
    """Return one sentence per import that the list forbids; ``files`` are relative to ``root``."""
    found = []
    for path in files:
        module = module_of(path)
        if module.split(".")[0] not in OURS:
            continue
        for imported in imports(root, path):
            problem = forbidden(module, imported.name)
            if problem:
                found.append(f"{path}:{imported.line}: {problem}")
    return found


def forbidden(importer: str, imported: str) -> str | None:
    """Return why the module ``importer`` may not import ``imported``, or ``None`` if it may."""
    if imported.split(".")[0] not in OURS:
        return None
    source, target = part_of(importer), part_of(imported)
    if source in ANYTHING or source == target:
        return None
    if target is None:
        return f"{imported} belongs to no part that ARCHITECTURE.md names"
    if source is None:
        return f"{importer} belongs to no part that ARCHITECTURE.md names"
    if target not in allowed(source):
        may = ", ".join(allowed(source)) or "nothing of ours"
        return f"{source} imports {imported}; it may import {may}"
    return None


def allowed(part: str) -> tuple[str, ...]:
    """Return the parts that ``part`` may import besides itself."""
    if part in ONLY:
        return ONLY[part]
    line = next(number for number, parts in enumerate(LAYERS) if part in parts)
    return tuple(name for lower in LAYERS[line + 1 :] for name in lower)


def part_of(module: str) -> str | None:
    """Return the part that a dotted name belongs to; ``harness`` itself re-exports its core."""
    if module == "harness" or module.startswith("harness.__"):
        return "harness.core"
    for part in PARTS:
        if module == part or module.startswith(part + "."):
            return part
    # `from harness import conformance`: a name of the package, not a part of it.
    head, _, rest = module.partition(".")
    if head == "harness" and "." not in rest and rest in {"conformance", "needs"}:
        return "harness.core"
    return None


def module_of(path: Path) -> str:
    """Return the dotted name of a file relative to the checkout."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(root: Path, path: Path) -> Iterator[Import]:
    """Yield every import of a file: statements at any depth, and ``import_module("literal")``."""
    tree = ast.parse((root / path).read_text(encoding="utf-8"), filename=str(path))
    package = path.parent.parts
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(path, node.lineno, alias.name)
            case ast.ImportFrom(level=0, module=str(module)):
                for alias in node.names:
                    yield Import(path, node.lineno, f"{module}.{alias.name}")
            case ast.ImportFrom():
                base = package[: len(package) - node.level + 1]
                stem = ".".join((*base, *([node.module] if node.module else [])))
                for alias in node.names:
                    yield Import(path, node.lineno, f"{stem}.{alias.name}")
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if _is_import(node.func):
                yield Import(path, node.lineno, name)


def _is_import(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__", "importorskip"}
