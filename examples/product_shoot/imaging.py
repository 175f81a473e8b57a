"""Measures and composes the pictures of the product shoot: pure functions on arrays, and on whole files as bytes.

This module decides whether a photo is fit to work with (`quality_check`), places a subject into a scene (`composite`),
and rates the result (`score_shot`) so that a workflow can decide which shots to make again. It does no I/O, calls no
model and draws nothing by chance: equal inputs give equal outputs. Before it come the photo, the segmenter's mask and
the generated scene; after it `contact_sheet` and the delivery.

Throughout: an image is (height_px, width_px, 3) RGB uint8, a mask is (height_px, width_px) uint8 with 255 for subject,
an alpha is (height_px, width_px) float32 from 0 to 1.
"""

import io
import typing
from dataclasses import dataclass

import cv2
import numpy as np
from numpy import typing as npt
from PIL import Image as Pillow

Image = npt.NDArray[np.uint8]
Alpha = npt.NDArray[np.float32]

PHOTO_SIDE_MIN_PX = 256
PIXELS_MAX = 40_000_000
WORK_SIDE_PX = 384
JPEG_QUALITY = 92

# The thresholds were set on the packaged photos and on 240 generated scenes; tests/unit/examples keep them true.
PHOTO_SCORE_MIN = 0.35
SHOT_SCORE_MIN = 0.65
PHOTO_SHARPNESS_GOOD = 120.0
SHOT_SHARPNESS_GOOD = 250.0
SEPARATION_GOOD = 26.0
BUSYNESS_GOOD = 10.0
BUSYNESS_BAD = 17.0

SUBJECT_SHARE = 0.66
GROUND = 0.86
COLOUR_MATCH = 0.16


class UnreadableImage(ValueError):
    """Say that bytes are no JPEG, PNG or WebP picture that can be decoded, or one too large to decode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoQuality:
    """What the check of a photo measured. score is 0 to 1; reasons are sentences, empty when nothing is wrong."""

    score: float
    is_accepted: bool
    width_px: int
    height_px: int
    sharpness: float
    brightness: float
    clipped_share: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotScore:
    """What the check of a composed shot measured: every part and their combination, score, are 0 to 1."""

    score: float
    sharpness: float
    coverage: float
    separation: float
    calm: float
    exposure: float
    edge: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """A composed shot and where its subject is: image and alpha have the scene's size."""

    image: Image
    alpha: Alpha


def decode_image(content: bytes) -> Image:
    """Decode a JPEG, PNG or WebP file to RGB, upright by its EXIF orientation.

    The header is read first, so that a small file cannot unfold into more than 40 million pixels. Raises
    UnreadableImage.
    """
    try:
        with Pillow.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as header:
            width_px, height_px = header.size
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise UnreadableImage(f"The {len(content)} bytes are no JPEG, PNG or WebP picture: {error}.") from error
    if width_px * height_px > PIXELS_MAX:
        raise UnreadableImage(f"The picture has {width_px} x {height_px} pixels; {PIXELS_MAX} is the most allowed.")
    decoded = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise UnreadableImage(f"The {len(content)} bytes begin like a picture and cannot be decoded: send it again.")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def decode_mask(content: bytes) -> Image:
    """Decode a PNG mask to (height_px, width_px) uint8 of 0 and 255. Raises UnreadableImage."""
    grey = cv2.cvtColor(decode_image(content), cv2.COLOR_RGB2GRAY)
    return np.where(grey > 127, 255, 0).astype(np.uint8)


def encode_jpeg(image: Image) -> bytes:
    """Encode an RGB image as a JPEG file of quality 92."""
    return _encode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def encode_png(image: Image) -> bytes:
    """Encode an RGB image or a mask as a PNG file."""
    pixels = image if image.ndim == 2 else image[:, :, ::-1]
    return _encode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def check_photo(content: bytes) -> PhotoQuality:
    """Check a whole file: `quality_check` of what it decodes to. Raises UnreadableImage."""
    return quality_check(decode_image(content))


def quality_check(image: Image) -> PhotoQuality:
    """Measure whether a photo is fit for a shoot: size, sharpness and exposure.

    Sharpness is the variance of the Laplacian of the brightness at no more than 384 px a side (Pech-Pacheco et al.,
    ICPR 2000); below 20 is blurred, above 120 crisp. A photo is accepted at a score of 0.35 and a size of 256 px.
    """
    height_px, width_px = image.shape[:2]
    grey = cv2.cvtColor(_limit_side(image, side_px=WORK_SIDE_PX), cv2.COLOR_RGB2GRAY)
    sharpness = float(cv2.Laplacian(grey, cv2.CV_64F).var())
    brightness = float(grey.mean()) / 255
    clipped_share = float(((grey <= 4) | (grey >= 251)).mean())
    sharp_part = _ramp(sharpness, low=6.0, high=PHOTO_SHARPNESS_GOOD)
    light_part = _ramp(brightness, low=0.04, high=0.16) * _ramp(1 - brightness, low=0.03, high=0.12)
    detail_part = _ramp(1 - clipped_share, low=0.25, high=0.65)
    score = sharp_part**0.5 * light_part * detail_part
    reasons: list[str] = []
    if min(width_px, height_px) < PHOTO_SIDE_MIN_PX:
        reasons.append(f"The photo is {width_px} x {height_px} px; at least {PHOTO_SIDE_MIN_PX} px a side are needed.")
        score = 0.0
    if sharp_part < 0.12:
        reasons.append(f"The photo is blurred: its sharpness is {sharpness:.0f}.")
    if light_part < 0.5:
        reasons.append(f"The photo is {'too dark' if brightness < 0.5 else 'too bright'}: brightness {brightness:.2f}.")
    if detail_part < 0.5:
        reasons.append(f"{clipped_share:.0%} of the photo is pure black or white.")
    return PhotoQuality(
        score=round(score, 4),
        is_accepted=score >= PHOTO_SCORE_MIN,
        width_px=width_px,
        height_px=height_px,
        sharpness=round(sharpness, 2),
        brightness=round(brightness, 4),
        clipped_share=round(clipped_share, 4),
        reasons=tuple(reasons),
    )


def composite_files(*, photo: bytes, mask: bytes, scene: bytes) -> bytes:
    """Compose from whole files and return a JPEG file of the scene's size: `composite` between decoding and encoding.

    photo, scene: JPEG, PNG or WebP; mask: PNG of the photo's size. Raises UnreadableImage or ValueError.
    """
    composed = composite(photo=decode_image(photo), mask=decode_mask(mask), scene=decode_image(scene))
    return encode_jpeg(composed.image)


def composite(*, photo: Image, mask: Image, scene: Image) -> Composition:
    """Put the subject of a photo into a scene: cut out, scaled to its ground, matched in colour, with a shadow.

    photo: an image; mask: of the photo's size, subject 255; scene: an image, whose size the result has. The edge is
    feathered and its colours are drawn from inside the subject, so that nothing of the old background shows. A
    subject the photo's lower edge cuts off stands on the lower edge of the scene. Raises ValueError on an empty mask
    or one of another size.
    """
    alpha = place_alpha(mask=mask, scene_width_px=scene.shape[1], scene_height_px=scene.shape[0])
    if mask.shape != photo.shape[:2]:
        raise ValueError(f"The mask is {mask.shape} and the photo {photo.shape[:2]}: they must have one size.")
    transform, size = _placement(mask=mask, scene_width_px=scene.shape[1], scene_height_px=scene.shape[0])
    clean = _spread_subject_colours(photo, mask)
    flags = cv2.INTER_AREA if transform[0, 0] < 1 else cv2.INTER_CUBIC
    subject = cv2.warpAffine(clean, transform, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    subject = _match_colour(subject=subject.astype(np.float32), alpha=alpha, scene=scene)
    backdrop = scene.astype(np.float32) * (1 - _shadow(alpha))[:, :, None]
    # Light from the scene wraps a little around the edge, as it does around anything that stands in it.
    glow = cv2.GaussianBlur(scene, (0, 0), 9).astype(np.float32)
    wrap = (alpha * (1 - cv2.GaussianBlur(alpha, (0, 0), 5)) * 0.35)[:, :, None]
    subject = subject * (1 - wrap) + glow * wrap
    blended = backdrop * (1 - alpha[:, :, None]) + subject * alpha[:, :, None]
    return Composition(image=(np.clip(blended, 0, 255) + 0.5).astype(np.uint8), alpha=alpha)


def place_alpha(*, mask: Image, scene_width_px: int, scene_height_px: int) -> Alpha:
    """Work out where `composite` puts a mask's subject in a scene: the feathered alpha, of the scene's size.

    It depends on nothing but the mask and the two sizes, so a shot can be scored later from its file and the mask.
    """
    transform, size = _placement(mask=mask, scene_width_px=scene_width_px, scene_height_px=scene_height_px)
    inner = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    placed = cv2.warpAffine(inner, transform, size, flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    soft = cv2.GaussianBlur(placed, (0, 0), 1.3)
    return np.asarray(np.clip((soft - 0.18) / 0.64, 0, 1), dtype=np.float32)


def score_files(*, shot: bytes, mask: bytes) -> ShotScore:
    """Score a composed file from the mask its subject was cut with. Raises UnreadableImage or ValueError."""
    image = decode_image(shot)
    alpha = place_alpha(mask=decode_mask(mask), scene_width_px=image.shape[1], scene_height_px=image.shape[0])
    return score_shot(image=image, alpha=alpha)


def score_shot(*, image: Image, alpha: Alpha) -> ShotScore:
    """Rate a composed shot from 0 to 1 by what can be measured in it; 0.65 is the least to deliver.

    image and alpha as in `Composition`. Parts: sharpness of the subject, its share of the picture, separation (mean
    distance in Lab between the two sides of the outline), calm (how little detail the surroundings have), exposure of
    the surroundings, edge (no bright or dark rim along the outline). The score is a weighted geometric mean, so that
    one part near zero cannot be made up for by the others.
    """
    subject, outside = alpha > 0.95, alpha < 0.02
    if not subject.any() or not outside.any():
        return _refused("The shot shows no subject, or nothing but the subject.")
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    lab = _lab(image)
    parts = {
        "sharpness": _ramp(float(cv2.Laplacian(grey, cv2.CV_64F)[subject].var()), low=0.0, high=SHOT_SHARPNESS_GOOD)
        ** 0.35,
        "coverage": _coverage_part(float(alpha.mean())),
        "separation": _separation_part(lab, alpha),
        "calm": _calm_part(lab, outside),
        "exposure": _exposure_part(lab, outside),
        "edge": _edge_part(lab, alpha),
    }
    weights = {"sharpness": 0.7, "coverage": 0.6, "separation": 1.0, "calm": 1.2, "exposure": 1.6, "edge": 0.5}
    logarithm = sum(weights[name] * np.log(max(part, 1e-3)) for name, part in parts.items())
    score = float(np.exp(logarithm / sum(weights.values())))
    reasons = tuple(f"The {name} is low: {part:.2f}." for name, part in parts.items() if part < 0.45)
    return ShotScore(score=round(score, 4), reasons=reasons, **{name: round(part, 4) for name, part in parts.items()})


def _refused(reason: str) -> ShotScore:
    return ShotScore(
        score=0.0, sharpness=0.0, coverage=0.0, separation=0.0, calm=0.0, exposure=0.0, edge=0.0, reasons=(reason,)
    )


def _coverage_part(share: float) -> float:
    return _ramp(share, low=0.0, high=0.08) * _ramp(1 - share, low=0.1, high=0.4)


def _separation_part(lab: Alpha, alpha: Alpha) -> float:
    """Compare both sides of the outline: smoothed colours just inside and just outside of it."""
    inside = cv2.GaussianBlur(lab * alpha[:, :, None], (0, 0), 7) / (
        cv2.GaussianBlur(alpha, (0, 0), 7)[:, :, None] + 1e-3
    )
    rest = 1 - alpha
    outside = cv2.GaussianBlur(lab * rest[:, :, None], (0, 0), 7) / (
        cv2.GaussianBlur(rest, (0, 0), 7)[:, :, None] + 1e-3
    )
    outline = (alpha > 0.3) & (alpha < 0.7)
    if not outline.any():
        return 0.0
    distance = float(np.linalg.norm(inside - outside, axis=2)[outline].mean())
    return float(_ramp(distance, low=0.0, high=SEPARATION_GOOD) ** 0.6)


def _calm_part(lab: Alpha, outside: npt.NDArray[np.bool_]) -> float:
    smooth = cv2.GaussianBlur(lab, (0, 0), 1.2)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)).sum(axis=2)
    # The outline itself is the strongest edge there is; only what lies well away from it counts.
    away = cv2.erode(outside.astype(np.uint8), np.ones((9, 9), dtype=np.uint8)) > 0
    busyness = float(slope[away].mean()) if away.any() else BUSYNESS_BAD
    return 1 - _ramp(busyness, low=BUSYNESS_GOOD, high=BUSYNESS_BAD)


def _exposure_part(lab: Alpha, outside: npt.NDArray[np.bool_]) -> float:
    """Ask that the surroundings have both light (92nd percentile of L) and shade (3rd percentile)."""
    lightness = lab[:, :, 0][outside]
    shade, light = (float(value) for value in np.percentile(lightness, (3, 92)))
    return _ramp(light, low=26.0, high=35.0) * (1 - _ramp(shade, low=60.0, high=74.0))


def _edge_part(lab: Alpha, alpha: Alpha) -> float:
    """Look for a rim: lightness on the outline beyond that of both of its sides."""
    outline = (alpha > 0.25) & (alpha < 0.75)
    if not outline.any():
        return 0.0
    lightness = lab[:, :, 0]
    kernel = np.ones((9, 9), dtype=np.uint8)
    smooth = cv2.GaussianBlur(lightness, (0, 0), 1.0)
    brightest, darkest = (
        cv2.dilate(cv2.GaussianBlur(lightness, (0, 0), 5), kernel),
        cv2.erode(cv2.GaussianBlur(lightness, (0, 0), 5), kernel),
    )
    rim = np.maximum(smooth - brightest, darkest - smooth)
    return 1 - _ramp(float(np.maximum(rim, 0)[outline].mean()), low=1.0, high=16.0)


def _placement(*, mask: Image, scene_width_px: int, scene_height_px: int) -> tuple[Alpha, tuple[int, int]]:
    """Fit the subject's box into two thirds of the scene, on its ground; as an affine transform of the whole photo."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        raise ValueError("The mask is empty: there is no subject to place.")
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    is_cut_off = bottom >= mask.shape[0] - 2 and float((mask[-3:] > 0).any(axis=0).mean()) > 0.2
    share = SUBJECT_SHARE + 0.12 if is_cut_off else SUBJECT_SHARE
    scale = min(scene_width_px * share / (right - left), scene_height_px * share / (bottom - top))
    ground_px = scene_height_px * (1.003 if is_cut_off else GROUND)
    shift_x = scene_width_px / 2 - scale * (left + right) / 2
    shift_y = ground_px - scale * bottom
    transform = np.asarray([[scale, 0, shift_x], [0, scale, shift_y]], dtype=np.float32)
    return transform, (scene_width_px, scene_height_px)


def _spread_subject_colours(photo: Image, mask: Image) -> Image:
    """Replace what is not safely inside the subject by its nearest inner colours, so that no old background bleeds."""
    inner = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    if not inner.any():
        return photo
    weight = (inner > 0).astype(np.float32)
    spread = np.zeros(photo.shape, dtype=np.float32)
    known = np.zeros(mask.shape, dtype=np.float32)
    for sigma_px in (2.0, 6.0, 18.0):
        reach = cv2.GaussianBlur(weight, (0, 0), sigma_px)
        colour = cv2.GaussianBlur(photo * weight[:, :, None], (0, 0), sigma_px) / np.maximum(reach, 1e-4)[:, :, None]
        share = np.clip(reach * 8, 0, 1) * (1 - known)
        spread += colour * share[:, :, None]
        known += share
    spread += photo * (1 - known)[:, :, None]
    keep = cv2.GaussianBlur(weight, (0, 0), 1.0)[:, :, None] * weight[:, :, None]
    return np.asarray(np.clip(photo * keep + spread * (1 - keep), 0, 255) + 0.5, dtype=np.uint8)


def _match_colour(*, subject: Alpha, alpha: Alpha, scene: Image) -> Alpha:
    """Shift the subject's mean colour some of the way to the scene's, less in lightness than in hue."""
    lab, scene_lab = _lab(subject.astype(np.uint8)), _lab(scene)
    inside = alpha > 0.5
    if not inside.any():
        return subject
    shift = (scene_lab.reshape(-1, 3).mean(axis=0) - lab[inside].mean(axis=0)) * COLOUR_MATCH
    shift = np.clip(shift * np.asarray([0.8, 1.0, 1.0]), -9, 9)
    moved = np.clip(lab + shift.astype(np.float32), (0, -127, -127), (100, 127, 127)).astype(np.float32)
    return np.asarray(cv2.cvtColor(moved, cv2.COLOR_LAB2RGB) * 255, dtype=np.float32)


def _shadow(alpha: Alpha) -> Alpha:
    """Cast a soft shadow on the ground, darkest where the subject touches it."""
    height_px, width_px = alpha.shape
    rows = np.flatnonzero((alpha > 0.5).any(axis=1))
    if len(rows) == 0:
        return np.zeros_like(alpha)
    bottom, top = int(rows[-1]), int(rows[0])
    foot = (alpha[max(top, bottom - max(4, (bottom - top) // 6)) : bottom + 1] > 0.5).any(axis=0)
    columns = np.flatnonzero(foot)
    left, right = int(columns[0]), int(columns[-1])
    pool = np.zeros_like(alpha)
    radius_x = max(6, int((right - left) * 0.53))
    centre = ((left + right) // 2, min(height_px - 1, bottom - max(2, radius_x // 14)))
    cv2.ellipse(pool, centre, (radius_x, max(4, radius_x // 7)), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    contact = cv2.GaussianBlur(pool, (0, 0), max(2.0, width_px * 0.008))
    spread = cv2.GaussianBlur(pool, (0, 0), max(5.0, width_px * 0.035))
    return np.clip(0.45 * contact + 0.40 * spread, 0, 0.8).astype(np.float32)


def _lab(image: Image) -> Alpha:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).astype(np.float32, copy=False)


def _limit_side(image: Image, *, side_px: int) -> Image:
    scale = side_px / max(image.shape[:2])
    if scale >= 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _ramp(value: float, *, low: float, high: float) -> float:
    """Map value to 0 at low, 1 at high and beyond, straight between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _encode(suffix: str, pixels: npt.NDArray[typing.Any], parameters: list[int]) -> bytes:
    is_encoded, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels), parameters)
    assert is_encoded, f"OpenCV could not encode {suffix}"
    return bytes(encoded.tobytes())
