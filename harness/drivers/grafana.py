"""What Grafana is given, how it is told of it, and what a running one has made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from harness.core.errors import TargetError
from harness.core.run import CHECKOUT

PLACE = CHECKOUT / "refstack" / "config" / "grafana"


def shipped_dashboards() -> dict[str, str]:
    """Return the text of each dashboard by file name."""
    return {path.name: path.read_text() for path in sorted((PLACE / "dashboards").glob("*.json"))}


def provisioning() -> dict[str, str]:
    """Return the text of each provisioning file by its path below Grafana's directory."""
    files = sorted((PLACE / "provisioning").rglob("*.yml"))
    return {str(path.relative_to(PLACE)): path.read_text() for path in files}


class Grafana:
    """A running Grafana, read through its HTTP API ("Dashboard" and "Data source" of its manual).

    ``credentials`` hold ``user`` and ``password``, or a service account's ``token``; without any it
    is asked as a visitor.
    """

    def __init__(self, url: str, credentials: Mapping[str, str]) -> None:
        headers, login = {}, None
        if "token" in credentials:
            headers["Authorization"] = f"Bearer {credentials['token']}"
        elif "user" in credentials:
            login = httpx.BasicAuth(credentials["user"], credentials["password"])
        self._client = httpx.Client(
            base_url=url, headers=headers, auth=login, timeout=10, trust_env=False
        )

    def dashboard(self, uid: str) -> tuple[dict[str, Any], bool] | None:
        """Return a dashboard as it is loaded, and whether it came from a file; None for none.

        Raises:
            TargetError: Grafana does not answer as one.
        """
        found = self._get(f"/api/dashboards/uid/{uid}")
        if found is None:
            return None
        return found["dashboard"], bool(found["meta"].get("provisioned"))

    def default_source(self) -> tuple[str, str]:
        """Return the type of the default data source and what its own check says, such as ``OK``.

        Raises:
            TargetError: there is none, or Grafana does not answer as one.
        """
        for each in self._get("/api/datasources") or ():
            if each.get("isDefault"):
                checked = self._get(f"/api/datasources/uid/{each['uid']}/health") or {}
                return each["type"], str(checked.get("status", "not found"))
        raise TargetError("Grafana has no default data source.", expected="a Prometheus")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _get(self, path: str) -> Any:
        try:
            answer = self._client.get(path)
            if answer.status_code == 404:
                return None
            if answer.status_code == 200 or path.endswith("/health"):
                return answer.json()
            actual = f"{answer.status_code}: {answer.text[:200]}"
        except (httpx.HTTPError, ValueError) as error:
            actual = str(error)
        raise TargetError(
            f"Grafana does not answer {path}.",
            expected="200 with JSON",
            actual=actual,
            next_step="give user and password, or token, of the role dashboards",
        )
