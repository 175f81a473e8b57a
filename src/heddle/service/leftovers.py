"""Remove what killed processes left half-written in the artifact storage, from time to time, beside a worker.

Whoever dies in the middle of an upload or of a result leaves a file that nobody will finish; without this they would
stay for ever. What is being written is never older than a day without a byte. Before it: ``service.worker``. After it:
``store.blobs``, which knows which files they are.
"""

import asyncio
import time
from typing import Final

from heddle.store import blobs
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events

EVERY_S: Final = 3_600.0


async def keep_removing(storage: blobs.FilesystemBlobs) -> None:
    """Remove until cancelled."""
    while True:
        await remove(storage)
        await asyncio.sleep(EVERY_S)


async def remove(storage: blobs.FilesystemBlobs) -> None:
    """Remove once. A storage that cannot be reached is told of."""
    try:
        count = await asyncio.to_thread(storage.remove_abandoned, now_s=time.time())
    except OSError as error:
        recorder.event(events.STAGE_FAILED, stage="operate", error=error)
        return
    if count:
        recorder.event(events.ARTIFACTS_ABANDONED, count=count)
