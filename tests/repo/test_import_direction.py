"""Imports point down ARCHITECTURE.md's list, and the checker itself can tell when they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.repo import checkout, layers


def test_every_import_points_down() -> None:
    found = layers.violations(checkout.ROOT, checkout.python_files())
    assert not found, "\n".join(found)


def test_the_checker_really_sees_this_checkout() -> None:
    seen = {
        imported.name
        for path in checkout.python_files()
        if path.parts[0] == "harness"
        for imported in layers.imports(checkout.ROOT, path)
    }
    assert any(name.startswith("harness.core.errors") for name in seen)


def test_the_list_is_the_one_that_the_architecture_page_gives() -> None:
    page = checkout.read(Path("ARCHITECTURE.md"))
    for number, parts in enumerate(layers.LAYERS, start=1):
        line = f"{number}. " + ", ".join(f"`{part}`" for part in parts)
        assert line in page.splitlines(), f"ARCHITECTURE.md has no line {line!r}"


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("harness/core/a.py", "from harness.checks import stats"),
        ("harness/checks/a.py", "import harness.drivers.base"),
        ("harness/drivers/a.py", "from harness.plugin.options import x"),
        ("harness/drivers/a.py", "from ..plugin import options"),
        ("harness/drivers/a.py", "import refstack.gateway"),
        ("harness/plugin/a.py", "def f():\n    from fixtures import stack"),
        ("harness/plugin/a.py", "import importlib\nimportlib.import_module('suites.slo')"),
        ("chaos/playbooks/a.py", "from chaos.faults import registry"),
        ("chaos/faults/a.py", "from chaos.scenarios import x"),
        ("chaos/faults/a.py", "import reports.html"),
        ("suites/a.py", "from chaos.scenarios import x"),
        ("fixtures/a.py", "import suites"),
        ("reports/a.py", "from harness.checks.stats import interval"),
        ("refstack/a.py", "from harness.core.errors import HarnessError"),
        ("refstack/a.py", "import harness"),
        ("scripts/a.py", "from harness.drivers import base"),
        ("scripts/a.py", "import refstack.gateway"),
        ("suites/a.py", "import tests.repo.layers"),
        ("harness/core/a.py", "from harness import drivers"),
        ("harness/surprise/a.py", "from harness.core import errors"),
    ],
)
def test_an_import_that_points_up_or_sideways_is_caught(
    tmp_path: Path, file: str, code: str
) -> None:
    found = layers.violations(tmp_path, (_written(tmp_path, file, code),))
    assert len(found) == 1
    assert found[0].startswith(f"{file}:")


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("suites/slo/a.py", "from suites.slo import b\nfrom fixtures.stack import c"),
        ("suites/a.py", "from harness import conformance, needs\nfrom chaos.faults import x"),
        ("harness/plugin/a.py", "from . import options\nfrom ..core import errors"),
        ("reports/a.py", "from harness.core import history\nfrom reports.model import Run"),
        ("refstack/a.py", "import httpx\nfrom refstack.common import settings"),
        ("scripts/a.py", "from harness.checks import digest\nfrom scripts.debs import x"),
        ("tests/a.py", "import refstack.gateway\nfrom harness.drivers import base"),
        ("harness/core/a.py", "import chaosmonkey\nimport reportsly"),
    ],
)
def test_what_is_allowed_is_not_complained_about(tmp_path: Path, file: str, code: str) -> None:
    assert layers.violations(tmp_path, (_written(tmp_path, file, code),)) == []


def _written(root: Path, file: str, code: str) -> Path:
    path = Path(file)
    (root / path).parent.mkdir(parents=True)
    (root / path).write_text(code + "\n")
    return path
