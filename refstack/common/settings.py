"""Settings from environment variables, each refused with one line that says what would do."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit


class SettingError(ValueError):
    """A setting that cannot be used; its text is one line fit for stderr.

    The line names the variable, what it held (never for a secret) and what it may hold.
    """

    def __init__(self, name: str, held: str | None, expected: str, *, secret: bool = False) -> None:
        if held is None:
            what = "is not set"
        elif secret:
            what = f"holds a secret of {len(held)} characters that cannot be used"
        else:
            what = f"holds {held!r}"
        super().__init__(f"{name} {what}; it must hold {expected}".replace("\n", " "))
        self.name = name


class Environment:
    """Typed reads of a mapping of environment variables.

    Every method raises `SettingError` for a value that cannot be used. Without a default a
    variable is required. A variable that is set but empty counts as not set.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def _raw(self, name: str) -> str | None:
        return self._variables.get(name, "").strip() or None

    def text(self, name: str, default: str | None = None, *, expected: str = "a text") -> str:
        """The text of a variable, stripped of surrounding white space."""
        held = self._raw(name) or default
        if held is None:
            raise SettingError(name, None, expected)
        return held

    def optional(self, name: str) -> str | None:
        """The text of a variable, or None when it is not set."""
        return self._raw(name)

    def secret(self, name: str, *, shortest: int = 8) -> str:
        """A secret of at least `shortest` characters; its value never shows in an error."""
        held = self._raw(name)
        expected = f"a secret of at least {shortest} characters"
        if held is None:
            raise SettingError(name, None, expected)
        if len(held) < shortest or not held.isprintable() or not held.isascii():
            raise SettingError(name, held, f"{expected}, printable ASCII", secret=True)
        return held

    def integer(self, name: str, default: int | None = None, *, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        held = self._raw(name)
        expected = f"a whole number from {low} to {high}"
        if held is None:
            if default is None:
                raise SettingError(name, None, expected)
            return default
        try:
            value = int(held)
        except ValueError:
            raise SettingError(name, held, expected) from None
        if not low <= value <= high:
            raise SettingError(name, held, expected)
        return value

    def number(self, name: str, default: float | None = None, *, low: float, high: float) -> float:
        """A finite number from `low` to `high`, both included."""
        held = self._raw(name)
        expected = f"a number from {low:g} to {high:g}"
        if held is None:
            if default is None:
                raise SettingError(name, None, expected)
            return default
        try:
            value = float(held)
        except ValueError:
            raise SettingError(name, held, expected) from None
        if not math.isfinite(value) or not low <= value <= high:
            raise SettingError(name, held, expected)
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """True for `1` or `true`, False for `0` or `false`."""
        held = self._raw(name)
        if held is None:
            return default
        known = {"1": True, "true": True, "0": False, "false": False}
        if held.lower() not in known:
            raise SettingError(name, held, "1, true, 0 or false")
        return known[held.lower()]

    def choice(self, name: str, choices: Collection[str], default: str | None = None) -> str:
        """One of the given texts."""
        held = self._raw(name) or default
        expected = "one of " + ", ".join(choices)
        if held is None:
            raise SettingError(name, None, expected)
        if held not in choices:
            raise SettingError(name, held, expected)
        return held

    def names(
        self,
        name: str,
        default: tuple[str, ...] | None = None,
        *,
        choices: Collection[str] | None = None,
        secret: bool = False,
    ) -> tuple[str, ...]:
        """A comma-separated list of at least one distinct, non-empty text."""
        held = self._raw(name)
        expected = "a comma-separated list"
        if choices is not None:
            expected += " of " + ", ".join(choices)
        if held is None:
            if default is None:
                raise SettingError(name, None, expected)
            return default
        parts = tuple(part.strip() for part in held.split(","))
        unknown = choices is not None and not set(parts) <= set(choices)
        if not all(parts) or len(set(parts)) != len(parts) or unknown:
            raise SettingError(name, held, f"{expected}, each once, none empty", secret=secret)
        return parts

    def url(
        self,
        name: str,
        default: str | None = None,
        *,
        schemes: Collection[str] = ("http", "https"),
    ) -> str:
        """An absolute URL with one of the given schemes, without a trailing slash.

        Its value may carry a password (a DSN), so errors do not show it.
        """
        held = self._raw(name) or default
        expected = "a URL such as " + " or ".join(f"{scheme}://host:port" for scheme in schemes)
        if held is None:
            raise SettingError(name, None, expected)
        try:
            parts = urlsplit(held)
            usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise SettingError(name, held, expected, secret=True)
        return held.rstrip("/")
