"""An adapter is found by name or file, and one that can't be used is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.adapters import load_api
from harness.core.errors import UsageError
from harness.core.gateway_api import REFERENCE, ReferenceApi
from harness.core.target import load_target

WHOLE = """
from harness.core.gateway_api import GatewayApi
class Mine(GatewayApi):
    name = "mine"
    lacks = {"batch": "never had any"}
    def call(self, operation): ...
    def said(self, operation, reply): ...
"""
FILE = '[target]\ndriver = "attach"\n[roles.gateway]\nurl = "http://127.0.0.1:9"\nadapter = "{}"\n'


def target(place: Path, adapter: str, code: str = WHOLE) -> Path:
    (place / "mine.py").write_text(code)
    path = place / "target.toml"
    path.write_text(FILE.format(adapter))
    return path


def test_without_a_name_the_reference_api_is_meant() -> None:
    assert load_api("") is REFERENCE
    assert not REFERENCE.missing("native-api") and not REFERENCE.missing("batch")


@pytest.mark.parametrize("adapter", ["mine.py", "mine.py:Mine", "./mine.py"])
def test_a_file_is_found_from_the_target_files_place(
    tmp_path: Path, adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    api = load_target(target(tmp_path, adapter)).gateway_api
    assert api.name == "mine" and str(tmp_path / "mine.py") in api.spec
    assert api.missing("batch") == "never had any"
    assert "mine" in api.missing("native-api")
    # What another process of the run gets is the place itself.
    assert load_api(api.spec).name == "mine"


def test_a_class_of_a_module_is_found_by_its_name() -> None:
    api = load_api("harness.core.gateway_api:ReferenceApi")
    assert isinstance(api, ReferenceApi) and not api.missing("native-api")


@pytest.mark.parametrize(
    ("adapter", "code", "told"),
    [
        ("none.py", WHOLE, "no such file"),
        ("no.such.module:Mine", WHOLE, "ModuleNotFoundError"),
        ("mine.py:Yours", WHOLE, "it has no Yours; it has Mine"),
        ("mine.py", WHOLE + WHOLE.replace("Mine", "Ours"), "Mine, Ours"),
        ("mine.py", "", "subclasses of GatewayApi in it: none"),
        ("mine.py", "import no_such_thing", "ModuleNotFoundError"),
        ("mine.py:int", "int = int", "no subclass"),
        ("mine.py", WHOLE.replace("said", "says"), "Mine has no said"),
        ("mine.py", WHOLE.replace("name =", "title ="), "Mine has no name"),
        ("mine.py", WHOLE.replace("batch", "batches"), "lacks holds batches"),
    ],
)
def test_what_can_not_be_used_is_refused_before_anything_starts(
    tmp_path: Path, adapter: str, code: str, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_target(target(tmp_path, adapter, code))
    assert told in str(caught.value)
    assert "docs/attach.md" in str(caught.value)


def test_an_empty_name_is_refused_and_not_taken_for_the_reference_api(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"roles\.gateway\.adapter"):
        load_target(target(tmp_path, ""))


def test_only_the_gateway_has_an_adapter(tmp_path: Path) -> None:
    path = target(tmp_path, "mine.py")
    path.write_text(path.read_text().replace("gateway", "vectordb"))
    with pytest.raises(UsageError, match=r"only the gateway has an adapter"):
        load_target(path)


def test_an_adapter_that_breaks_while_it_is_made_is_named(tmp_path: Path) -> None:
    code = WHOLE + "    def __init__(self): raise RuntimeError('no such place')\n"
    with pytest.raises(UsageError, match="no such place"):
        load_target(target(tmp_path, "mine.py", code))
