"""`python -m refstack.vectordb.worker.probe DIRECTORY PARENT < config`: does this data open?

Ends with status 0 when every point can be read, else with 1 and the reason on stdout. A process of
its own, because damaged files can end the one that maps them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson
import qdrant_edge as edge

from refstack.vectordb.files import die_with_parent
from refstack.vectordb.worker.storage import load_shard, number_above

_PAGE = 1000


def main() -> int:
    """Open the shard, and read each point once."""
    path, parent = Path(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent)
    config = orjson.loads(sys.stdin.buffer.read())
    try:
        shard = load_shard(path, config)
        number_above(shard)
        seen, offset = 0, None
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=_PAGE, with_payload=True, with_vector=True
            )
            points, offset = shard.scroll(request)
            seen += len(points)
            if offset is None:
                break
        expected = shard.count(edge.CountRequest(True))
        if seen != expected:
            print(f"{seen} of {expected} points can be read")
            return 1
        shard.flush()
        shard.close()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}".splitlines()[0])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
