"""Which version of the vector store may follow which, as upstream documents it."""

from __future__ import annotations

import re

from harness.core.errors import UsageError
from scripts.dayops.scratch_collections import minor
from scripts.dayops.script import Refused


def check_version(text: str) -> None:
    """Raise UsageError for what is no version."""
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", text):
        raise UsageError("--to is no version.", expected="major.minor[.patch]", actual=text)


def is_version(told: str, wanted: str) -> bool:
    """Whether a server's version is the wanted one; ``1.19`` means any patch of it."""
    return told == wanted or told.startswith(f"{wanted}.")


def refuse_path(now: str, to: str, *, fresh: bool, last_minor: bool) -> None:
    """Raise Refused unless a store of version ``now`` may become one of version ``to``.

    One minor at a time, in place or into a ``fresh`` volume; a new major only into a fresh volume,
    from the last minor of the old one (which nobody but a person can tell: ``last_minor``) to its
    first. Never back: that is what ``--undo`` is for.
    Source: upstream's guide on upgrading, and its rule that a snapshot restores into its own or
    the next minor version.
    """
    then, wanted = minor(now), minor(to)
    if wanted < then:
        raise _refusal("This is no upgrade.", f"a version after {now}", to, "--undo goes back")
    if wanted[0] == then[0]:
        if wanted[1] - then[1] > 1:
            raise _refusal(
                "Versions in between can't be skipped.",
                f"{then[0]}.{then[1]} or {then[0]}.{then[1] + 1}",
                to,
                f"upgrade to the latest patch of {then[0]}.{then[1] + 1} first",
            )
        return
    if wanted != (then[0] + 1, 0):
        first = f"{then[0] + 1}.0"
        raise _refusal("Versions in between can't be skipped.", first, to, f"go to {first} first")
    if not fresh:
        raise _refusal(
            "A new major version is not put on the old one's data.",
            "--fresh: a restore into an empty volume",
            "an upgrade in place",
            "add --fresh, with a START_NEW_QDRANT_CMD that gives it an empty volume",
        )
    if not last_minor:
        raise _refusal(
            "A new major version follows the last minor of the old one alone.",
            f"{now} to be the last minor version of {then[0]}",
            "nobody said so",
            "see upstream's list of releases, and add --from-last-minor",
        )


def _refusal(what: str, expected: str, actual: str, next_step: str) -> Refused:
    return Refused(what, expected=expected, actual=actual, next_step=next_step)
