"""The Debian base image: there, pulled, or made with debootstrap where nothing can be pulled."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.core.errors import TargetError

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
_PULL_S = 300.0
# As in the official slim image: what no container reads.
_DROPPED = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian"),
    *("var/cache/apt", "var/lib/apt/lists", "var/log"),
)
_KEPT_EMPTY = ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "var/log")


def have_base(image: str, docker: Callable[..., str | None], tell: Callable[[str], None]) -> str:
    """See to it that the engine has ``image``; returns how: ``there``, ``pulled`` or ``made``.

    ``docker(*arguments, timeout_s=...)`` gives the output of a docker command, or None where it
    failed. Raises TargetError where the image can't be had, with each reason.
    """
    if docker("image", "inspect", image) is not None:
        return "there"
    tell(f"pulling {image} ...")
    if docker("pull", "-q", image, timeout_s=_PULL_S) is not None:
        return "pulled"
    problem = cannot_make()
    if problem:
        raise TargetError(
            f"The base image {image} can't be had.",
            expected="it among the engine's images, a registry to pull it from, or debootstrap",
            actual=f"it is not there, pulling failed, and {problem}",
            next_step="as root: apt-get install debootstrap, then make images again; or load an "
            f"image that others made: docker load < FILE, docker tag IT {image}",
        )
    tell(f"nothing can be pulled: making {image} with debootstrap (takes about a minute) ...")
    make_base(image)
    return "made"


def cannot_make() -> str:
    """Why debootstrap can't be used here; empty where it can."""
    if shutil.which("debootstrap") is None:
        return "debootstrap is not installed"
    if os.geteuid() != 0:
        return "debootstrap needs root"
    return ""


def make_base(image: str) -> None:
    """Bootstrap Debian into a temporary directory and import that as ``image``.

    Raises TargetError with the last words of what failed.
    """
    with tempfile.TemporaryDirectory(prefix="ragdrill-debian-") as scratch:
        root = Path(scratch) / "root"
        _run("debootstrap", "--variant=minbase", SUITE, str(root), MIRROR)
        for name in _DROPPED:
            shutil.rmtree(root / name, ignore_errors=True)
        for name in _KEPT_EMPTY:
            (root / name).mkdir(parents=True, exist_ok=True)
        sources = f"deb {MIRROR} {SUITE} main\ndeb {MIRROR} {SUITE}-updates main\n"
        sources += f"deb {MIRROR}-security {SUITE}-security main\n"
        (root / "etc/apt/sources.list").write_text(sources)
        archive = Path(scratch) / "root.tar"
        _run("tar", "-C", str(root), "-cf", str(archive), ".")
        _run("docker", "import", "-c", 'CMD ["bash"]', str(archive), image)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise TargetError(
            f"{argv[0]} failed while the Debian base image was made.",
            expected="exit status 0",
            actual=f"{done.returncode}: " + "\n".join(words),
            next_step="`df -h` shows whether there is room; the mirror must be reachable",
        )
