"""What every file of the checkout keeps to: length, opening sentence, no traces of a machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.repo import checkout

LONGEST = 400
LONGER: dict[str, str] = {}
"""Files that may be longer than ``LONGEST`` lines, each with its reason."""

MACHINE = re.compile(
    "|".join(f"(?<![\\w.-])/{name}/" for name in ("work", "root", "tmp/bash_jobs"))
)


def test_no_source_file_grows_past_four_hundred_lines_without_a_reason() -> None:
    lengths = {
        str(path): len(checkout.read(path).splitlines())
        for path in checkout.files()
        if path.suffix in {".py", ".sh"}
    }
    long = {path: lines for path, lines in lengths.items() if lines > LONGEST}
    assert not set(long) - set(LONGER), f"split by feature: {long}"
    assert not set(LONGER) - set(long), "no longer long, take it off the list"
    assert all(LONGER.values()), "each needs a reason"


def test_every_module_opens_with_a_sentence() -> None:
    silent = []
    for path in checkout.python_files():
        text = checkout.read(path)
        docstring = ast.get_docstring(ast.parse(text))
        if docstring is None or not docstring.split("\n\n")[0].rstrip().endswith((".", ":", "?")):
            silent.append(str(path))
    assert not silent, f"no docstring, or its first paragraph is no sentence: {silent}"


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    named = [
        f"{path}:{number}: {line.strip()}"
        for path in checkout.text_files()
        for number, line in enumerate(checkout.read(path).splitlines(), start=1)
        if MACHINE.search(line)
    ]
    assert not named, "\n".join(named)


def test_the_pattern_for_machine_paths_knows_one_when_it_sees_it() -> None:
    assert MACHINE.search("cd /" + "work/main")
    assert MACHINE.search("'/" + "root/.cache'")
    assert not MACHINE.search("https://example.org/home/work/x")


def test_shell_scripts_stop_at_the_first_error() -> None:
    for path in checkout.files():
        if path.suffix == ".sh":
            assert re.search(r"^set -[a-z]*e[a-z]* ?", checkout.read(path), re.M), path


def test_no_module_name_is_used_twice_where_pytest_imports_by_bare_name() -> None:
    # A folder without __init__.py is no package, so its modules share one name space.
    names: dict[str, Path] = {}
    for path in checkout.python_files():
        loose = not (checkout.ROOT / path.parent / "__init__.py").exists()
        if path.parts[0] == "tests" and loose and path.name != "conftest.py":
            if path.is_relative_to("tests/defects/catalogue"):
                continue  # loaded by path
            other = names.setdefault(path.name, path)
            assert other == path, f"{other} and {path}"
