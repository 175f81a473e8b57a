"""Draw the results that customers fetch, in threads, a few at a time, and keep the latest.

It refuses a request when too many wait. Before it: the twin, when a result is fetched. After it: ``kit.painter``.
"""

import asyncio
import collections
from collections.abc import Mapping
from dataclasses import dataclass

from heddle.twins.kit import calls, painter

DRAWN_AT_ONCE_MAX = 2
WAITING_MAX = 64
KEPT_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is to be drawn: see ``painter.draw``."""

    prompt: str
    seed: int
    width_px: int
    height_px: int
    output_format: str

    @property
    def media_type(self) -> str:
        """Give the media type of the file."""
        return painter.MEDIA_TYPES[self.output_format]


def scene(given: Mapping[str, object], *, output_format: str, width_px: int, height_px: int) -> Picture:
    """Read the set for a product that ``given`` asks for by ``prompt`` and ``seed``: something to look at, for demos.

    width_px, height_px: brought into what the painter draws.
    """
    seed = given.get("seed")
    sides = [min(painter.SIDE_MAX_PX, max(painter.SIDE_MIN_PX, side)) for side in (width_px, height_px)]
    return Picture(
        prompt=str(given.get("prompt", "")),
        seed=seed if isinstance(seed, int) and seed >= 0 else 0,
        width_px=sides[0],
        height_px=sides[1],
        output_format=output_format,
    )


class Studio:
    """The hands that draw, and the pictures kept."""

    def __init__(self) -> None:
        self._hands = asyncio.Semaphore(DRAWN_AT_ONCE_MAX)
        self._waiting = 0
        self._kept: collections.OrderedDict[Picture, bytes] = collections.OrderedDict()

    async def draw(self, wanted: Picture) -> bytes:
        """Give the file of a picture. Raises calls.Refused when it cannot be had now, or not here at all."""
        if wanted in self._kept:
            self._kept.move_to_end(wanted)
            return self._kept[wanted]
        if self._waiting >= WAITING_MAX:
            raise calls.Refused(503, "busy", "Too many results are being fetched.", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            async with self._hands:
                drawn = await asyncio.to_thread(_drawn, wanted)
        except ImportError as error:
            message = f"Pictures need numpy and OpenCV; install the extra `demo`. {error}"
            raise calls.Refused(501, "pictures_unavailable", message) from None
        finally:
            self._waiting -= 1
        self._kept[wanted] = drawn
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return drawn


def _drawn(wanted: Picture) -> bytes:
    return painter.draw(
        prompt=wanted.prompt,
        seed=wanted.seed,
        width_px=wanted.width_px,
        height_px=wanted.height_px,
        output_format=wanted.output_format,
    )
