"""Paint the sets of `painter`: studio, marble, wood, sand, bokeh and sea.

Each painter fills a canvas with linear-looking RGB from 0 to 1 as (height_px, width_px, 3) float32, taking every chance
from the canvas's own generator. `develop` then gives it lens, look and grain. Only `painter` imports this module, since
numpy and OpenCV are needed to import it.
"""

import itertools
from collections import abc
from dataclasses import dataclass

import cv2
import numpy as np
from numpy import typing as npt

Field = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Numbers = np.random.Generator
Colour = tuple[float, float, float]

HORIZON = 0.6
WEAK_SHARE = 0.17
SETS_BY_WORD: abc.Mapping[str, str] = {
    "studio": "studio",
    "pastel": "studio",
    "plain": "studio",
    "marble": "marble",
    "stone": "marble",
    "kitchen": "marble",
    "wood": "wood",
    "oak": "wood",
    "table": "wood",
    "cafe": "wood",
    "sand": "sand",
    "desert": "sand",
    "dune": "sand",
    "bokeh": "bokeh",
    "night": "bokeh",
    "city": "bokeh",
    "party": "bokeh",
    "sea": "sea",
    "beach": "sea",
    "sunset": "sea",
    "horizon": "sea",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """The size of a picture and the generator its chances come from."""

    width_px: int
    height_px: int
    numbers: Numbers

    @property
    def horizon_px(self) -> int:
        """Name the first row of the surface."""
        return round(self.height_px * HORIZON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a seed photographs its scene: exposure and saturation are factors, haze and clutter shares from 0 to 1."""

    exposure: float
    saturation: float
    haze: float
    clutter: float


def name_for(*, prompt: str, numbers: Numbers) -> str:
    """Choose the set: by the first known word of the prompt, else by chance."""
    for word in prompt.lower().replace(",", " ").replace(".", " ").split():
        if word in SETS_BY_WORD:
            return SETS_BY_WORD[word]
    return str(numbers.choice(sorted(PAINTERS)))


def choose_look(*, numbers: Numbers) -> Look:
    """Choose by chance how a scene is photographed: well, or in one case of six too dark, washed out or cluttered."""
    exposure = float(numbers.uniform(0.94, 1.06))
    saturation = float(numbers.uniform(0.9, 1.1))
    if numbers.random() >= WEAK_SHARE:
        return Look(exposure=exposure, saturation=saturation, haze=0.0, clutter=0.0)
    flaw = int(numbers.integers(3))
    if flaw == 0:
        return Look(exposure=0.3, saturation=saturation, haze=0.0, clutter=0.0)
    if flaw == 1:
        return Look(exposure=1.15, saturation=0.55, haze=0.72, clutter=0.0)
    return Look(exposure=exposure, saturation=saturation, haze=0.0, clutter=1.0)


def paint_studio(canvas: Canvas) -> Field:
    """Paint a seamless paper sweep with a lamp behind the product."""
    hues = (
        (0.86, 0.80, 0.74),
        (0.72, 0.80, 0.84),
        (0.83, 0.72, 0.70),
        (0.75, 0.81, 0.72),
        (0.80, 0.76, 0.86),
        (0.88, 0.78, 0.60),
    )
    base = _pick(canvas, hues)
    rows = np.linspace(0, 1, canvas.height_px, dtype=np.float32)[:, None]
    sweep = 0.80 + 0.16 * _step(rows, middle=HORIZON + 0.06, width=0.16) - 0.10 * np.clip(rows - 0.8, 0, 1) / 0.2
    field = np.ones((canvas.height_px, canvas.width_px, 3), dtype=np.float32) * np.asarray(base, dtype=np.float32)
    field *= np.broadcast_to(sweep, (canvas.height_px, canvas.width_px))[:, :, None]
    lamp = _glow(canvas, x=float(canvas.numbers.uniform(0.38, 0.62)), y=0.36, radius=0.5)
    return _mix(field, (1.0, 0.985, 0.96), 0.42 * lamp)


def paint_marble(canvas: Canvas) -> Field:
    """Paint a veined marble counter before a soft, light wall."""
    side_px = 512
    warp_x, warp_y = _noise(canvas, side_px, side_px, cells=3), _noise(canvas, side_px, side_px, cells=3)
    ramp = np.linspace(0, 1, side_px, dtype=np.float32)
    stripes = np.sin((ramp[None, :] * 5 + ramp[:, None] * 3 + 2.2 * warp_x + 1.4 * warp_y) * np.pi)
    fine = np.sin((ramp[:, None] * 9 - ramp[None, :] * 4 + 3.5 * warp_y) * np.pi)
    veins = np.exp(-22 * np.abs(stripes)) * 0.8 + np.exp(-34 * np.abs(fine)) * 0.35
    cloud = _noise(canvas, side_px, side_px, cells=5)
    is_dark = canvas.numbers.random() < 0.3
    stone, vein = ((0.22, 0.23, 0.25), (0.72, 0.66, 0.56)) if is_dark else ((0.91, 0.90, 0.885), (0.50, 0.48, 0.47))
    texture = _flat(side_px, side_px, stone) * (0.93 + 0.12 * cloud)[:, :, None]
    texture = _mix(texture, vein, np.clip(veins, 0, 1) * (0.35 + 0.5 * cloud))
    wall = _wall(
        canvas, _pick(canvas, ((0.66, 0.70, 0.68), (0.78, 0.72, 0.66), (0.62, 0.68, 0.74), (0.80, 0.78, 0.74)))
    )
    return _stage(canvas, wall, texture, gloss=0.30)


def paint_wood(canvas: Canvas) -> Field:
    """Paint a plank table before a warm, blurred room."""
    width_px, height_px, planks = 640, 512, 5
    tone = np.asarray(
        _pick(canvas, ((0.62, 0.42, 0.26), (0.48, 0.31, 0.19), (0.74, 0.57, 0.40), (0.55, 0.46, 0.38))),
        dtype=np.float32,
    )
    texture = np.empty((height_px, width_px, 3), dtype=np.float32)
    edges = np.linspace(0, width_px, planks + 1).astype(int)
    for left, right in itertools.pairwise(edges):
        plank_px = int(right - left)
        bend = _noise(canvas, height_px, plank_px, cells=2)
        across = np.linspace(0, 1, plank_px, dtype=np.float32)[None, :]
        rings = np.sin((across * float(canvas.numbers.uniform(5, 9)) + 3.2 * bend) * 2 * np.pi)
        fibre = cv2.resize(canvas.numbers.random((24, plank_px), dtype=np.float32), (plank_px, height_px))
        shade = 0.86 + 0.09 * rings + 0.16 * fibre + float(canvas.numbers.uniform(-0.08, 0.08))
        texture[:, left:right] = tone * shade[:, :, None]
        texture[:, left : left + 2] *= 0.45
    room = _flat(canvas.height_px, canvas.width_px, (0.42, 0.33, 0.26))
    room *= 0.75 + 0.4 * _noise(canvas, canvas.height_px, canvas.width_px, cells=3)[:, :, None]
    room = _discs(
        canvas,
        room,
        count=9,
        colours=((1.0, 0.82, 0.55), (1.0, 0.92, 0.78), (0.95, 0.68, 0.42)),
        radius=(0.03, 0.08),
        lowest=0.5,
    )
    return _stage(canvas, _field(cv2.GaussianBlur(room, (0, 0), canvas.width_px * 0.02)), texture, gloss=0.16)


def paint_sand(canvas: Canvas) -> Field:
    """Paint rippled sand under a clear sky."""
    side_px = 512
    bend = _noise(canvas, side_px, side_px, cells=4)
    rows = np.linspace(0, 1, side_px, dtype=np.float32)[:, None]
    ripples = np.sin((rows * 24 + 2.0 * bend) * 2 * np.pi)
    grain = canvas.numbers.normal(0, 0.06, (side_px, side_px)).astype(np.float32)
    dunes = _noise(canvas, side_px, side_px, cells=3)
    texture = _flat(side_px, side_px, _pick(canvas, ((0.86, 0.71, 0.52), (0.90, 0.78, 0.62), (0.82, 0.62, 0.45))))
    texture *= (0.86 + 0.075 * ripples + 0.2 * dunes + grain)[:, :, None]
    sky_top = _pick(canvas, ((0.42, 0.62, 0.82), (0.55, 0.70, 0.84), (0.86, 0.66, 0.56)))
    return _stage(canvas, _sky(canvas, sky_top, (0.95, 0.89, 0.80)), texture, gloss=0.0)


def paint_bokeh(canvas: Canvas) -> Field:
    """Paint an evening of blurred lights over a dark glossy surface."""
    night = _pick(canvas, ((0.10, 0.11, 0.20), (0.16, 0.09, 0.16), (0.07, 0.14, 0.18)))
    field = _flat(canvas.height_px, canvas.width_px, night)
    field += 0.10 * _glow(canvas, x=0.5, y=0.45, radius=0.6)[:, :, None]
    palettes: tuple[tuple[Colour, ...], ...] = (
        ((1.0, 0.78, 0.42), (1.0, 0.60, 0.30), (1.0, 0.90, 0.70)),
        ((0.45, 0.70, 1.0), (0.80, 0.55, 1.0), (1.0, 0.75, 0.85)),
        ((0.40, 0.90, 0.80), (1.0, 0.80, 0.45), (0.60, 0.75, 1.0)),
    )
    palette = palettes[int(canvas.numbers.integers(len(palettes)))]
    field = _discs(canvas, field, count=34, colours=palette, radius=(0.02, 0.075), lowest=HORIZON)
    field = cv2.GaussianBlur(field, (0, 0), canvas.width_px * 0.004).astype(np.float32, copy=False)
    floor = _flat(64, 64, (night[0] * 0.8 + 0.03, night[1] * 0.8 + 0.03, night[2] * 0.8 + 0.03))
    return _stage(canvas, field, floor, gloss=0.62)


def paint_sea(canvas: Canvas) -> Field:
    """Paint a low sun over the sea, with wet sand in front."""
    tops = ((0.28, 0.42, 0.66), (0.42, 0.38, 0.60), (0.36, 0.58, 0.76))
    glows = ((1.0, 0.72, 0.46), (1.0, 0.62, 0.52), (1.0, 0.86, 0.66))
    glow_colour = _pick(canvas, glows)
    sky = _sky(canvas, _pick(canvas, tops), glow_colour)
    cloud = _noise(canvas, canvas.height_px, canvas.width_px, cells=4, stretch=3)
    sky = _mix(sky, (1.0, 0.93, 0.88), np.clip(cloud - 0.52, 0, 1) * 1.1)
    sun_x = float(canvas.numbers.uniform(0.15, 0.85))
    sky = _mix(sky, (1.0, 0.96, 0.86), 0.75 * _glow(canvas, x=sun_x, y=HORIZON - 0.1, radius=0.22))
    waves = _noise(canvas, 512, 512, cells=10, stretch=8)
    texture = _flat(512, 512, (0.34, 0.44, 0.52)) * (0.7 + 0.6 * waves)[:, :, None]
    texture = _mix(texture, glow_colour, np.clip(waves - 0.55, 0, 1) * 1.3)
    rows = np.linspace(0, 1, 512, dtype=np.float32)[:, None]
    shore = _step(rows + 0.06 * _noise(canvas, 512, 512, cells=6), middle=0.42, width=0.05)
    texture = _mix(texture, (0.66, 0.55, 0.45), 0.9 * shore)
    return _stage(canvas, sky, texture, gloss=0.22)


PAINTERS: abc.Mapping[str, abc.Callable[[Canvas], Field]] = {
    "studio": paint_studio,
    "marble": paint_marble,
    "wood": paint_wood,
    "sand": paint_sand,
    "bokeh": paint_bokeh,
    "sea": paint_sea,
}


def develop(canvas: Canvas, scene: Field, *, look: Look) -> Picture:
    """Give a painted scene its light, lens, look and grain; returns (height_px, width_px, 3) RGB uint8."""
    field = scene
    if look.clutter > 0:
        field = _cluttered(canvas, field, strength=look.clutter)
    rows = np.linspace(-1, 1, canvas.height_px, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, canvas.width_px, dtype=np.float32)[None, :]
    field = _field(field * (1.0 - 0.17 * (columns**2 + rows**2))[:, :, None] * look.exposure)
    grey = field.mean(axis=2, keepdims=True)
    field = grey + (field - grey) * look.saturation
    field = field * (1.0 - look.haze) + 0.97 * look.haze
    grain = canvas.numbers.normal(0, 0.005, field.shape[:2])
    developed: Picture = (np.clip(field + grain[:, :, None], 0, 1) * 255 + 0.5).astype(np.uint8)
    return developed


def _cluttered(canvas: Canvas, field: Field, *, strength: float) -> Field:
    """Spoil the middle with hard scraps of colour, as a generator does when it invents things nobody asked for."""
    scraps = field.copy()
    for _ in range(150):
        centre = (
            int(canvas.numbers.uniform(0.1, 0.9) * canvas.width_px),
            int(canvas.numbers.uniform(0.12, 0.9) * canvas.height_px),
        )
        axes = tuple(int(size) for size in canvas.numbers.uniform(0.006, 0.045, 2) * canvas.width_px)
        colour = tuple(float(part) for part in canvas.numbers.uniform(0.05, 0.95, 3))
        angle = float(canvas.numbers.uniform(0, 180))
        cv2.ellipse(scraps, centre, (max(2, axes[0]), max(2, axes[1])), angle, 0, 360, colour, -1, cv2.LINE_AA)
    return (field * (1 - strength) + scraps * strength).astype(np.float32, copy=False)


def _stage(canvas: Canvas, backdrop: Field, texture: Field, *, gloss: float) -> Field:
    """Lay a texture as a surface that recedes to the horizon, mirroring the backdrop by the share gloss."""
    height_px, width_px, horizon_px = canvas.height_px, canvas.width_px, canvas.horizon_px
    texture_height_px, texture_width_px = texture.shape[:2]
    source = _field([[0, 0], [texture_width_px, 0], [texture_width_px, texture_height_px], [0, texture_height_px]])
    spread_px = width_px * 0.55
    target = _field(
        [
            [-0.02 * width_px, 0],
            [1.02 * width_px, 0],
            [width_px + spread_px, height_px - horizon_px],
            [-spread_px, height_px - horizon_px],
        ]
    )
    transform = cv2.getPerspectiveTransform(source, target)
    size = (width_px, height_px - horizon_px)
    surface = _field(cv2.warpPerspective(texture, transform, size, borderMode=cv2.BORDER_REPLICATE))
    if gloss > 0:
        mirrored = backdrop[:horizon_px][::-1][: height_px - horizon_px]
        mirrored = _field(cv2.GaussianBlur(cv2.resize(mirrored, size), (0, 0), width_px * 0.018))
        surface = surface * (1 - gloss) + mirrored * gloss
    depth = np.linspace(0, 1, height_px - horizon_px, dtype=np.float32)[:, None, None]
    surface = surface * (0.84 + 0.22 * np.minimum(depth * 2.2, 1.0) - 0.14 * depth**2)
    light = _glow(canvas, x=float(canvas.numbers.uniform(0.4, 0.6)), y=0.74, radius=0.5)
    field = backdrop.copy()
    field[horizon_px:] = surface
    # The far edge of the surface is out of focus, as with any lens set on the product.
    blurred = cv2.GaussianBlur(field, (0, 0), width_px * 0.010)
    rows = np.linspace(0, 1, height_px, dtype=np.float32)[:, None]
    sharp = _step(rows, middle=HORIZON + 0.12, width=0.10)[:, :, None]
    field = blurred * (1 - sharp) + field * sharp
    return (field * (0.90 + 0.16 * light)[:, :, None]).astype(np.float32, copy=False)


def _wall(canvas: Canvas, colour: Colour) -> Field:
    field = _flat(canvas.height_px, canvas.width_px, colour)
    shade = cv2.GaussianBlur(_noise(canvas, canvas.height_px, canvas.width_px, cells=3), (0, 0), canvas.width_px * 0.03)
    lamp = _glow(canvas, x=float(canvas.numbers.uniform(0.2, 0.8)), y=0.2, radius=0.6)
    return _mix(field * (0.86 + 0.2 * shade)[:, :, None], (1.0, 0.97, 0.92), 0.4 * lamp)


def _sky(canvas: Canvas, top: Colour, bottom: Colour) -> Field:
    rows = np.clip(np.linspace(0, 1 / HORIZON, canvas.height_px, dtype=np.float32), 0, 1)[:, None]
    share = np.broadcast_to(rows**1.4, (canvas.height_px, canvas.width_px))
    return _mix(_flat(canvas.height_px, canvas.width_px, top), bottom, share)


def _discs(
    canvas: Canvas, field: Field, *, count: int, colours: tuple[Colour, ...], radius: tuple[float, float], lowest: float
) -> Field:
    for _ in range(count):
        layer = np.zeros(field.shape[:2], dtype=np.float32)
        centre = (
            int(canvas.numbers.uniform(-0.02, 1.02) * canvas.width_px),
            int(canvas.numbers.uniform(0.02, lowest) * canvas.height_px),
        )
        radius_px = max(3, int(canvas.numbers.uniform(*radius) * canvas.width_px))
        strength = float(canvas.numbers.uniform(0.15, 0.6))
        cv2.circle(layer, centre, radius_px, 0.75 * strength, -1, cv2.LINE_AA)
        cv2.circle(layer, centre, radius_px, strength, max(1, radius_px // 9), cv2.LINE_AA)
        top, bottom = max(0, centre[1] - radius_px - 2), max(1, centre[1] + radius_px + 3)
        colour = _pick(canvas, colours)
        field[top:bottom] += layer[top:bottom, :, None] * _field(colour)
    return field


def _noise(canvas: Canvas, height_px: int, width_px: int, *, cells: int, stretch: int = 1) -> Field:
    """Make cloud-like noise from 0 to 1, (height_px, width_px); stretch draws it out sideways."""
    total = np.zeros((height_px, width_px), dtype=np.float32)
    for octave in range(4):
        rows = cells * stretch * 2**octave + 2
        grid = canvas.numbers.random((rows, cells * 2**octave + 2), dtype=np.float32)
        total += cv2.resize(grid, (width_px, height_px), interpolation=cv2.INTER_CUBIC) * 0.5**octave
    low, high = float(total.min()), float(total.max())
    return _field((total - low) / max(1e-6, high - low))


def _glow(canvas: Canvas, *, x: float, y: float, radius: float) -> Field:
    rows = np.linspace(0, 1, canvas.height_px, dtype=np.float32)[:, None] - y
    columns = np.linspace(0, 1, canvas.width_px, dtype=np.float32)[None, :] - x
    return np.exp(-(rows**2 + columns**2) / (radius**2) * 2).astype(np.float32)


def _step(values: Field, *, middle: float, width: float) -> Field:
    share = np.clip((values - middle) / width + 0.5, 0, 1)
    return _field(share * share * (3 - 2 * share))


def _field(values: npt.ArrayLike) -> Field:
    return np.asarray(values, dtype=np.float32)


def _flat(height_px: int, width_px: int, colour: Colour) -> Field:
    return np.full((height_px, width_px, 3), colour, dtype=np.float32)


def _mix(field: Field, colour: Colour, share: Field) -> Field:
    weight = share[:, :, None]
    return (field * (1 - weight) + _field(colour) * weight).astype(np.float32, copy=False)


def _pick(canvas: Canvas, colours: abc.Sequence[Colour]) -> Colour:
    return colours[int(canvas.numbers.integers(len(colours)))]
