"""Finds the subject of a photograph with OpenCV's GrabCut on the CPU.

This module decides which pixels belong to the subject, from the picture alone: colours unlike those of the border,
near the middle, are taken as a first guess and GrabCut refines it. It reads no file, speaks no protocol and keeps no
state. Before it `model_server` has parsed the request; after it `model_server` encodes the mask.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy import typing as npt

Image = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]

WORK_SIDE_PX = 384
COARSE_SIDE_PX = 160
COARSE_ITERATIONS = 3
FINE_ITERATIONS = 1
FINE_BAND_SHARE = 0.03
BORDER_SHARE = 0.025
BORDER_COLOURS = 6
BORDER_SAMPLES_MAX = 3_000
SMALLEST_PIECE_SHARE = 0.12
COVERAGE_MIN = 0.02
COVERAGE_MAX = 0.92


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """What was found: mask is (height_px, width_px) uint8, 0 or 255; coverage the subject's share of it, 0 to 1."""

    mask: Image
    coverage: float


def segment(*, image: Image) -> Segmentation:
    """Separate the subject of a photograph from what is around it.

    image: (height_px, width_px, 3) RGB uint8, at least 16 px a side. Three guesses of where the subject is are refined
    at 160 px; the one whose outline follows the picture's edges best is refined again at no more than 384 px, and
    the mask is scaled back to the size of the image. The same image gives the same mask.
    """
    assert image.ndim == 3, image.shape
    assert image.shape[2] == 3, image.shape
    assert image.dtype == np.uint8, image.dtype
    height_px, width_px = image.shape[:2]
    work = _shrink(image, side_px=WORK_SIDE_PX)
    coarse = _shrink(work, side_px=COARSE_SIDE_PX)
    candidates = [_cut_coarse(coarse, guess) for guess in _guesses(coarse)]
    best = max(candidates, key=lambda mask: outline_quality(image=coarse, mask=mask))
    refined = _cut_fine(work, best)
    sigma_px = max(0.6, 0.7 * max(height_px, width_px) / max(work.shape[:2]))
    smooth = cv2.GaussianBlur(
        cv2.resize(refined, (width_px, height_px), interpolation=cv2.INTER_CUBIC), (0, 0), sigma_px
    )
    mask = np.where(smooth > 127, 255, 0).astype(np.uint8)
    return Segmentation(mask=mask, coverage=float(mask.mean()) / 255)


def outline_quality(*, image: Image, mask: Image) -> float:
    """Rate a mask: how strongly its outline follows edges, how compact it is and how much of the picture it takes.

    image: (height_px, width_px, 3) RGB; mask: (height_px, width_px), 0 or 255. Zero is a mask of no use.
    """
    coverage = float(mask.mean()) / 255
    if not COVERAGE_MIN <= coverage <= COVERAGE_MAX:
        return 0.0
    lab = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), (0, 0), 1).astype(np.float32)
    slope = np.hypot(cv2.Sobel(lab, cv2.CV_32F, 1, 0), cv2.Sobel(lab, cv2.CV_32F, 0, 1)).sum(axis=2)
    outline = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), dtype=np.uint8)) > 0
    edge = float(slope[outline].mean()) / (float(slope.mean()) + 1.0)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull_area = float(cv2.contourArea(cv2.convexHull(np.vstack(contours))))
    compactness = min(1.0, float(np.count_nonzero(mask)) / max(1.0, hull_area))
    return float(edge * compactness**1.5 * min(coverage, 0.5) ** 0.5)


def _shrink(image: Image, *, side_px: int) -> Image:
    height_px, width_px = image.shape[:2]
    scale = min(1.0, side_px / max(height_px, width_px))
    size = (max(16, round(width_px * scale)), max(16, round(height_px * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _guesses(image: Image) -> list[Field]:
    """Score each pixel 0 to 1 in three ways: colours unlike the border's, weighed by nearness to the middle."""
    height_px, width_px = image.shape[:2]
    distance = _distance_from_border_colours(image)
    rows = np.linspace(-1, 1, height_px, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width_px, dtype=np.float32)[None, :]
    soft = 0.55 * distance + 0.75 * np.exp(-1.6 * (columns**2 + (rows - 0.08) ** 2)) - 0.15
    tight = 0.5 * distance + 0.8 * np.exp(-2.8 * (columns**2 + (rows - 0.05) ** 2)) - 0.1
    wide = 0.25 * distance + 0.8 * np.exp(-0.9 * (columns**4 + (rows - 0.05) ** 4))
    return [soft.astype(np.float32), tight.astype(np.float32), np.minimum(wide, 0.9).astype(np.float32)]


def _distance_from_border_colours(image: Image) -> Field:
    """Measure how far each pixel's colour is from the nearest of the border's main colours; 1 is very far.

    The lower fifth of the sides and the bottom edge do not count as border: subjects often stand on them.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[:, :, 0] *= 0.7
    height_px, width_px = lab.shape[:2]
    band_px = max(2, round(min(height_px, width_px) * 0.04))
    sides = lab[: height_px * 4 // 5]
    strips = [lab[:band_px], sides[:, :band_px], sides[:, -band_px:]]
    border = np.concatenate([strip.reshape(-1, 3) for strip in strips])
    border = border[:: max(1, len(border) // BORDER_SAMPLES_MAX)]
    # kmeans draws from the thread's generator; seeding it makes equal pictures give equal masks.
    cv2.setRNGSeed(1)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 12, 1.0)
    labels = np.zeros((len(border), 1), dtype=np.int32)
    _, _, centres = cv2.kmeans(border, BORDER_COLOURS, labels, criteria, 1, cv2.KMEANS_PP_CENTERS)
    nearest = np.linalg.norm(lab[:, :, None, :] - centres, axis=3).min(axis=2).astype(np.float32)
    nearest = cv2.GaussianBlur(nearest, (0, 0), 1.5).astype(np.float32, copy=False)
    return np.asarray(nearest / max(1.0, float(np.percentile(nearest, 97))), dtype=np.float32)


def _cut_coarse(image: Image, guess: Field) -> Image:
    state = np.full(guess.shape, cv2.GC_PR_BGD, dtype=np.uint8)
    state[guess > 0.5] = cv2.GC_PR_FGD
    state[guess > 0.92] = cv2.GC_FGD
    state[guess < 0.1] = cv2.GC_BGD
    border_px = max(2, round(min(guess.shape) * BORDER_SHARE))
    side_end = guess.shape[0] * 4 // 5
    state[:border_px] = cv2.GC_BGD
    state[:side_end, :border_px] = cv2.GC_BGD
    state[:side_end, -border_px:] = cv2.GC_BGD
    return _tidy(_grab_cut(image, state, iterations=COARSE_ITERATIONS))


def _cut_fine(image: Image, coarse: Image) -> Image:
    """Redraw the outline at full working size; only a narrow band along the coarse one may change."""
    height_px, width_px = image.shape[:2]
    mask = cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    band_px = max(3, round(max(height_px, width_px) * FINE_BAND_SHARE)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (band_px, band_px))
    state = np.where(mask > 127, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    state[cv2.erode(mask, kernel) > 127] = cv2.GC_FGD
    state[cv2.dilate(mask, kernel) <= 127] = cv2.GC_BGD
    if not (state == cv2.GC_BGD).any() or not (state == cv2.GC_FGD).any():
        return mask.astype(np.uint8, copy=False)
    return _tidy(_grab_cut(image, state, iterations=FINE_ITERATIONS))


def _grab_cut(image: Image, state: Image, *, iterations: int) -> Image:
    background = np.zeros((1, 65), dtype=np.float64)
    foreground = np.zeros((1, 65), dtype=np.float64)
    cv2.setRNGSeed(1)
    cv2.grabCut(image, state, (0, 0, 0, 0), background, foreground, iterations, cv2.GC_INIT_WITH_MASK)
    is_subject = (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)
    return np.where(is_subject, 255, 0).astype(np.uint8)


def _tidy(mask: Image) -> Image:
    """Close cracks, drop crumbs and fill holes that are too small to be meant."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel)
    kept: Image = np.zeros(mask.shape, dtype=np.uint8)
    count, labels, facts, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    largest = max((int(facts[index, cv2.CC_STAT_AREA]) for index in range(1, count)), default=0)
    for index in range(1, count):
        if facts[index, cv2.CC_STAT_AREA] >= largest * SMALLEST_PIECE_SHARE:
            kept[labels == index] = 255
    holes = cv2.bitwise_not(kept)
    count, labels, facts, _ = cv2.connectedComponentsWithStats(holes, connectivity=4)
    for index in range(1, count):
        if facts[index, cv2.CC_STAT_AREA] < largest * 0.02:
            kept[labels == index] = 255
    return kept
