"""What Grafana is given: the shipped dashboards, and how it is told of them."""

from __future__ import annotations

from harness.core.run import CHECKOUT

PLACE = CHECKOUT / "refstack" / "config" / "grafana"


def shipped_dashboards() -> dict[str, str]:
    """Return the text of each dashboard by file name."""
    return {path.name: path.read_text() for path in sorted((PLACE / "dashboards").glob("*.json"))}


def provisioning() -> dict[str, str]:
    """Return the text of each provisioning file by its path below Grafana's directory."""
    files = sorted((PLACE / "provisioning").rglob("*.yml"))
    return {str(path.relative_to(PLACE)): path.read_text() for path in files}
