"""Common ground of the faults of time and identity: settings of a role changed by a restart."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx

from chaos.faults.role_fault import RoleFault, restartable, visible
from harness.core.errors import NotAllowed, TargetError
from harness.drivers.base import Stack

_DEADLINE_S = 5.0
_DEMO_PASSWORD_BYTES = 18


@dataclass(frozen=True)
class SettingsFault(RoleFault):
    """Restarts the role with other settings; healing restarts it with those it had.

    What it had is read from the environment of its process, so that it is what really ran.
    """

    needs: ClassVar[tuple[str, ...]] = ("fault", "restart")

    def check_target(self, stack: Stack) -> None:
        """The role can be restarted, and its process seen."""
        super().check_target(stack)
        restartable(stack)
        visible(stack)
        if self.role in stack.roles() and not settings_of(stack, self.role):
            raise NotAllowed(
                f"The settings of {self.role} can't be read.",
                expected="a process of this user that keeps its environment",
                actual="an empty or overwritten one",
            )

    def change(self, stack: Stack, settings: dict[str, str]) -> None:
        """Restart with these settings, remembering what each of them was."""
        notes = self.notes(stack)
        if notes.read() is None:
            now = settings_of(stack, self.role)
            # An empty value counts as none with every service of ours.
            notes.write(settings={name: now.get(name, "") for name in settings})
        restartable(stack).restart(self.role, settings)

    def heal(self, stack: Stack) -> None:
        """Restart with the old settings."""
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        restartable(stack).restart(self.role, kept["settings"])
        notes.forget()


def settings_of(stack: Stack, role: str) -> dict[str, str]:
    """The environment of the role's first process."""
    pids = visible(stack).pids(role)
    if not pids:
        return {}
    try:
        raw = Path(f"/proc/{pids[0]}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition(b"=") for item in raw.split(b"\0") if b"=" in item)
    return {name.decode(): value.decode("utf-8", "replace") for name, _, value in pairs}


class Accounts:
    """A user of our own with the auth service, to see what its tokens are worth."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.endpoint("auth").url
        self._service = {"Authorization": f"Bearer {stack.credentials('auth')['service_key']}"}

    def sign_up(self) -> tuple[str, str]:
        """Make a user; returns email and password."""
        email = f"fault-{secrets.token_hex(6)}@ragdrill.example"
        password = secrets.token_urlsafe(_DEMO_PASSWORD_BYTES)
        body = {
            "email": email,
            "password": password,
            "email_confirm": True,
            "app_metadata": {"tenant_id": "ragdrill-fault", "personas": ["work"]},
        }
        self._post("/admin/users", body, self._service)
        return email, password

    def token(self, email: str, password: str) -> str:
        """Sign in."""
        answer = self._post(
            "/token?grant_type=password", {"email": email, "password": password}, {}
        )
        return str(answer["access_token"])

    def accepts(self, token: str) -> int:
        """The status with which the service answers the token's holder."""
        return httpx.get(
            f"{self._url}/user",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_DEADLINE_S,
            trust_env=False,
        ).status_code

    def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        answer = httpx.post(
            self._url + path, json=body, headers=headers, timeout=_DEADLINE_S, trust_env=False
        )
        if answer.status_code not in (200, 201):
            raise TargetError(
                "The auth service refused an honest request.",
                expected=f"200 for POST {path}",
                actual=answer.status_code,
            )
        found: dict[str, Any] = answer.json()
        return found
