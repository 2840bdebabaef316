"""Made-up readings for machines without a GPU, from a file that a fault may write.

The file holds a JSON object with any of `utilization` (percent), `used_mib`, `throttled` (true:
hot, and at a third of the clock), `lost` (true: off the bus). Absent, the device idles along.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from refstack.gpuexporter.device import Lost, Reading, SourceError
from refstack.gpuexporter.nvml import XID_LOST

UUID = "GPU-00000000-0000-0000-0000-000000000000"
MODEL = "ragdrill stand-in"
MEMORY_MIB = 24_576
IDLE_UTILIZATION = 12.0
IDLE_USED_MIB = 3_072
FULL_CLOCK, THROTTLED_CLOCK, IDLE_CLOCK = 1_980, 660, 345
HOT = 92.0
# NVML's bits for clock event reasons: idle, and slowed by the hardware because it is too hot.
REASON_IDLE, REASON_HOT = 0x1, 0x40
_KNOWN = frozenset({"utilization", "used_mib", "throttled", "lost"})


class StandIn:
    """One device that is not there."""

    stand_in = True
    software = "made-up figures, no GPU"

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> list[Reading | Lost]:
        """The device as the file has it; raises SourceError for one that cannot be understood."""
        state = self._state()
        if state.get("lost"):
            return [Lost(0, UUID, MODEL, XID_LOST)]
        throttled = bool(state.get("throttled"))
        utilization = _percent(state.get("utilization", 99.0 if throttled else IDLE_UTILIZATION))
        used = float(state.get("used_mib", IDLE_USED_MIB))
        busy = utilization > IDLE_UTILIZATION
        clock = THROTTLED_CLOCK if throttled else FULL_CLOCK if busy else IDLE_CLOCK
        return [
            Reading(
                index=0,
                uuid=UUID,
                model=MODEL,
                utilization=utilization,
                copy_utilization=utilization / 2,
                used_mib=used,
                free_mib=MEMORY_MIB - used,
                temperature=HOT if throttled else 35 + 0.4 * utilization,
                sm_clock=clock,
                power=60 + 2.4 * utilization * clock / FULL_CLOCK,
                throttle=REASON_HOT if throttled else 0 if busy else REASON_IDLE,
                xid=0,
            )
        ]

    def _state(self) -> dict[str, Any]:
        try:
            held = orjson.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._file.name}: {error}") from error
        if not isinstance(held, dict) or set(held) - _KNOWN:
            raise SourceError(f"{self._file.name} may hold {', '.join(sorted(_KNOWN))}")
        return held


def _percent(held: object) -> float:
    if isinstance(held, int | float) and not isinstance(held, bool) and 0 <= held <= 100:
        return float(held)
    raise SourceError(f"utilization must be 0 to 100 percent, not {held!r}")
