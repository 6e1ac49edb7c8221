"""Writes the golden store of the current version: ``python tests/decoder/stores/make.py``.

Golden stores were written once, each by the code of its version, and are never edited; this refuses
to overwrite them.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from tests.decoder.store_frames import GOLDEN, NOW_NS, change  # noqa: E402
from ugicm_decoder.store import Frame, SqliteFrameStore  # noqa: E402
from ugicm_decoder.store.schema import SCHEMA  # noqa: E402

ID = bytes.fromhex("68e19808a9c10aae")


async def make(path: Path) -> None:
    now_ns = NOW_NS
    store = await SqliteFrameStore.open(path, clock_ns=lambda: now_ns)
    for thing in GOLDEN:
        await (store.put(thing) if isinstance(thing, Frame) else store.put_gap(thing))
        now_ns += 1
    await store.close()
    change(path, "UPDATE store SET id = ?", ID)
    path.with_name(f"{path.name}-lock").unlink()


if __name__ == "__main__":
    golden = Path(__file__).with_name(f"v{SCHEMA.version}.sqlite")
    if golden.exists():
        sys.exit(f"{golden} is there already, and is never edited")
    asyncio.run(make(golden))
