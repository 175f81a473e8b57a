"""Lays finished shots out as one picture, the contact sheet, and makes the small pictures a report shows.

Pure functions: no I/O, no chance. Before it come the delivered shots; after it the demo writes the sheet and a report.
Images are (height_px, width_px, 3) RGB uint8, as in `imaging`.
"""

from collections import abc
from dataclasses import dataclass

import cv2
import numpy as np

from examples.product_shoot import imaging

TILES_MAX = 600
COLUMNS_MAX = 24
TILE_SIDE_MAX_PX = 1_024
GAP_PX = 12
CAPTION_PX = 30
PAPER = (246, 245, 242)
INK = (38, 40, 44)
WEAK_INK = (176, 38, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One shot of the sheet: caption is set below it in ASCII, in red where is_weak."""

    image: imaging.Image
    caption: str
    is_weak: bool = False


def contact_sheet(*, tiles: abc.Sequence[Tile], columns: int, tile_side_px: int) -> imaging.Image:
    """Lay tiles out in rows on light paper, each picture whole and centred in a square of tile_side_px.

    tiles: 1 to 600; columns: 1 to 24; tile_side_px: 32 to 1,024. Raises ValueError naming what is out of range.
    """
    if not 1 <= len(tiles) <= TILES_MAX:
        raise ValueError(f"A contact sheet takes 1 to {TILES_MAX} tiles, not {len(tiles)}.")
    if not 1 <= columns <= COLUMNS_MAX or not 32 <= tile_side_px <= TILE_SIDE_MAX_PX:
        raise ValueError(f"columns must be 1 to {COLUMNS_MAX} and tile_side_px 32 to {TILE_SIDE_MAX_PX}.")
    rows = -(-len(tiles) // columns)
    cell_width_px, cell_height_px = tile_side_px + GAP_PX, tile_side_px + GAP_PX + CAPTION_PX
    sheet = np.full((rows * cell_height_px + GAP_PX, columns * cell_width_px + GAP_PX, 3), PAPER, dtype=np.uint8)
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        top, left = GAP_PX + row * cell_height_px, GAP_PX + column * cell_width_px
        small = thumbnail(image=tile.image, side_px=tile_side_px)
        height_px, width_px = small.shape[:2]
        y, x = top + (tile_side_px - height_px) // 2, left + (tile_side_px - width_px) // 2
        sheet[y : y + height_px, x : x + width_px] = small
        _write(sheet, tile, left=left, baseline=top + tile_side_px + CAPTION_PX * 2 // 3, width_px=tile_side_px)
    return sheet


def thumbnail(*, image: imaging.Image, side_px: int) -> imaging.Image:
    """Scale an image so that its longer side is side_px."""
    height_px, width_px = image.shape[:2]
    scale = side_px / max(height_px, width_px)
    size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), dtype=np.uint8)


def thumbnail_file(*, content: bytes, side_px: int) -> bytes:
    """Make a small JPEG file of a JPEG, PNG or WebP file. Raises imaging.UnreadableImage."""
    return imaging.encode_jpeg(thumbnail(image=imaging.decode_image(content), side_px=side_px))


def mask_overlay(*, image: imaging.Image, mask: imaging.Image) -> imaging.Image:
    """Show a mask on its image: what is not the subject turns pale green, the outline white."""
    shown = image.copy()
    is_outside = mask < 128
    shown[is_outside] = (image[is_outside] * 0.25 + np.asarray((40, 150, 90)) * 0.75).astype(np.uint8)
    outline = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), dtype=np.uint8)) > 127
    shown[outline] = (255, 255, 255)
    return shown


def _write(sheet: imaging.Image, tile: Tile, *, left: int, baseline: int, width_px: int) -> None:
    """Write a caption, cut to what fits."""
    caption = tile.caption.encode("ascii", "replace").decode()[:200]
    while caption and cv2.getTextSize(caption, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0] > width_px:
        caption = caption[:-1]
    colour = WEAK_INK if tile.is_weak else INK
    cv2.putText(sheet, caption, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
