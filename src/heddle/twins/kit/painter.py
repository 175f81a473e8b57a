"""Draw pictures to look at: an empty set for a product, from a prompt and a seed.

This module turns (prompt, seed, size) into pixels: a backdrop and a surface that recede to a horizon, light, lens and
grain. Equal arguments give equal pictures. Like real generators it does not always succeed: about one seed in six comes
out too dark, washed out or cluttered, so that whoever measures the shots has something to refuse. It knows nothing of
jobs, money or HTTP. numpy and OpenCV belong to the `demo` extra and are imported when the first picture is drawn, never
before. Before it: a vendor's route that shows a result. After it: `scenes`, which paints.
"""

import hashlib
from collections import abc

SIDE_MIN_PX = 64
SIDE_MAX_PX = 1024
JPEG_QUALITY = 92
MEDIA_TYPES: abc.Mapping[str, str] = {"jpeg": "image/jpeg", "png": "image/png"}


def draw(*, prompt: str, seed: int, width_px: int, height_px: int, output_format: str) -> bytes:
    """Draw the scene a prompt asks for and encode it.

    prompt: words; the first known one (marble, wood, sand, bokeh, sea …) chooses the set, without one the seed does.
    seed: any integer from 0 to 2**63 - 1. width_px, height_px: 64 to 1024. output_format: "jpeg" or "png". Returns
    the file's bytes. Raises ImportError where numpy or OpenCV are not installed.
    """
    assert SIDE_MIN_PX <= width_px <= SIDE_MAX_PX
    assert SIDE_MIN_PX <= height_px <= SIDE_MAX_PX
    assert output_format in MEDIA_TYPES
    import cv2
    import numpy as np

    from heddle.twins.kit import scenes

    numbers = np.random.default_rng(seed_for(prompt=prompt, seed=seed))
    name = scenes.name_for(prompt=prompt, numbers=numbers)
    canvas = scenes.Canvas(width_px=width_px, height_px=height_px, numbers=numbers)
    scene = scenes.PAINTERS[name](canvas)
    finished = scenes.develop(canvas, scene, look=scenes.choose_look(numbers=numbers))
    parameters = (
        [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if output_format == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    )
    is_encoded, encoded = cv2.imencode("." + output_format, cv2.cvtColor(finished, cv2.COLOR_RGB2BGR), parameters)
    assert is_encoded, f"OpenCV could not encode {output_format}"
    return encoded.tobytes()


def seed_for(*, prompt: str, seed: int) -> int:
    """Mix prompt and seed into the number all of a picture's chances derive from."""
    digest = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
