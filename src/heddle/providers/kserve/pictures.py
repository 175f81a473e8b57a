"""Decode pictures to tensors and encode tensors as pictures.

Pillow is imported when first needed. Sizes are read from the header before a pixel is decoded. Everything here blocks
and is called in a thread. Before it: ``wire`` with an artifact's bytes or an answer's tensor. After it: ``wire`` again.
"""

import io
import struct
from typing import Final

from heddle.providers.kserve import tensors

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")


def decode(*, name: str, data: bytes, pixels_max: int) -> tensors.Tensor:
    """Decode a PNG, JPEG, WebP or GIF (its first frame) to a UINT8 tensor of shape [height_px, width_px, 3], RGB.

    The grid is the stored one: an EXIF orientation is not applied, so that a mask fits the stored picture. Raises
    TensorRefused.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width_px, height_px = picture.size
            if width_px * height_px > pixels_max:
                raise tensors.TensorRefused(f"{name} is {width_px} x {height_px}; at most {pixels_max} pixels are sent")
            pixels = picture.convert("RGB").tobytes()
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        if isinstance(error, tensors.TensorRefused):
            raise
        raise tensors.TensorRefused(f"{name} is no picture that can be decoded: {str(error)[:120]}") from None
    return tensors.Tensor(name=name, datatype="UINT8", shape=(height_px, width_px, 3), data=pixels)


def is_picture(tensor: tensors.Tensor) -> bool:
    """Tell whether a tensor has the form of a picture: UINT8 of shape [h, w], [h, w, 1] or [h, w, 3]."""
    is_shaped = len(tensor.shape) == 2 or (len(tensor.shape) == 3 and tensor.shape[2] in (1, 3))
    return tensor.datatype == "UINT8" and is_shaped and tensor.elements > 0


def encode_png(tensor: tensors.Tensor, *, pixels_max: int) -> bytes:
    """Encode a tensor that ``is_picture`` as an 8-bit grey or RGB PNG. Raises TensorRefused."""
    from PIL import Image

    height_px, width_px = tensor.shape[:2]
    if width_px * height_px > pixels_max or len(tensor.data) != tensor.elements:
        raise tensors.TensorRefused(f"{tensor.name} of shape {list(tensor.shape)} is too large or not filled")
    mode = "RGB" if tensor.shape[2:] == (3,) else "L"
    encoded = io.BytesIO()
    Image.frombytes(mode, (width_px, height_px), tensor.data).save(encoded, format="PNG")
    return encoded.getvalue()
