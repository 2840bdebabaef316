"""When a log line was written, read from the line itself in the formats that our roles use."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import orjson

_MS, _US = 1_000_000, 1_000
_ISO = r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?"
# ISO in front (PostgreSQL writes UTC after it), or after ts= (Prometheus, Alertmanager).
_LEADING = re.compile(rf"(?:ts=|time=\")?{_ISO}(Z| UTC|[+-]\d\d:?\d\d)?")
# The logger of SeaweedFS (glog): severity, month and day, time; the year is not written.
_GLOG = re.compile(r"[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6})")


def written_at(line: str, year: int) -> int | None:
    """Nanoseconds since 1970, or None for a line that does not say; `year` for those without."""
    if line.startswith("{"):
        try:
            stamp = orjson.loads(line).get("ts")
        except (ValueError, AttributeError):
            return None
        return _iso(_LEADING.match(stamp)) if isinstance(stamp, str) else None
    glog = _GLOG.match(line)
    if glog is not None:
        month, day, hour, minute, second, micro = (int(part) for part in glog.groups())
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            return None
        return int(moment.timestamp()) * 1000 * _MS + micro * 1000
    return _iso(_LEADING.match(line))


def _iso(match: re.Match[str] | None) -> int | None:
    if match is None:
        return None
    zone = (match[4] or "").strip()
    zone = "+00:00" if zone in ("", "Z", "UTC") else zone
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}")
    except ValueError:
        return None
    fraction = int((match[3] or "0").ljust(9, "0"))
    return int(moment.timestamp()) * 1000 * _MS + fraction


def apart(at: int, offset: int) -> int:
    """A time that two lines of one moment at different offsets of a file do not share.

    The store keeps equal lines of one moment once, which is right for a line that was sent twice
    and wrong for two lines; `offset` tells them apart, and is the same whenever a line is sent. It
    goes where the time has no digits: below the millisecond, or the microsecond.
    """
    finest = next((unit for unit in (_MS, _US) if at % unit == 0), 1)
    return at + offset % finest
