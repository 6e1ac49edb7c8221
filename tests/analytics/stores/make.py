"""Writes the golden results of the current version: ``python tests/analytics/stores/make.py``.

Golden stores were written once, each by the code of its version, and are never edited; this refuses
to overwrite them.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from tests.analytics.kept import GOLDEN, NOW_NS  # noqa: E402
from ugicm.v1 import analytics_pb2 as pb  # noqa: E402
from ugicm.v1 import types_pb2 as types  # noqa: E402
from ugicm_analytics.results import Missed, Progress, SqliteResultStore  # noqa: E402
from ugicm_analytics.results.schema import SCHEMA  # noqa: E402


async def make(path: Path) -> None:
    store = await SqliteResultStore.open(path, clock_ns=lambda: NOW_NS)
    for analysis in GOLDEN:
        await store.put(analysis)
    gap = types.Gap(camera="gate", epoch=1, first_sequence=3, last_sequence=5, reason=2)
    await store.put_missed(Missed("kinds", gap), progress=Progress("kinds", b"a cursor"))
    failure = types.Failure(code=15, message="damaged")
    why = pb.FailedFrame(key=types.FrameKey(camera="gate", epoch=1, sequence=6), failure=failure)
    await store.put_missed(Missed("kinds", why), progress=Progress("kinds", b"the next"))
    await store.close()
    path.with_name(f"{path.name}-lock").unlink()


if __name__ == "__main__":
    golden = Path(__file__).with_name(f"v{SCHEMA.version}.sqlite")
    if golden.exists():
        sys.exit(f"{golden} is there already, and is never edited")
    asyncio.run(make(golden))
