"""Judge by measured facts whether a result that arrived is good enough to be used.

A model's owner declares gates; a worker measures each medium of a result (``engine.quality``) and asks here. A result
that fails was paid for all the same: it is a ``bad_output`` with the code ``quality``, and a next try, bounded by
``tries_max``, may go to another route. This file refuses to look at bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from heddle.core.policy import bounds

HASH_BITS = 64
"""Length of the perceptual hash that near duplicates are told by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityOptions:
    """Hold the gates of one model; None or False: no such gate.

    decodes: every medium opens and decodes whole. width_min, height_min: 1 to 100_000 pixels. aspect: 0.01 to 100,
    width by height, at most ``aspect_off`` (default 0.02, 0 to 1) of it away. duration_min_s: 0.001 to 86_400 seconds,
    of what moves or sounds. blank_max: 0 to 1, the largest share of pixels of one tone. near_duplicate_of: the argument
    of the call, ``input.NAME``, that the result must resemble no more than ``near_duplicate_bits`` (default 4, 0 to 32)
    different bits of 64 allow. tries_max: default 2, 1 to 10, tries of a call in all after which a failure is final.
    """

    decodes: bool = False
    width_min: int | None = None
    height_min: int | None = None
    aspect: float | None = None
    aspect_off: float = 0.02
    duration_min_s: float | None = None
    blank_max: float | None = None
    near_duplicate_of: str | None = None
    near_duplicate_bits: int = 4
    tries_max: int = 2

    def __post_init__(self) -> None:
        """Refuse gates out of range."""
        for field, high, unit in (("width_min", 100_000, "pixels"), ("height_min", 100_000, "pixels")):
            value = getattr(self, field)
            if value is not None:
                bounds.require(field=field, value=value, low=1, high=high, unit=unit)
        if self.aspect is not None:
            bounds.require(field="aspect", value=self.aspect, low=0.01, high=100, unit="width by height")
        bounds.require(field="aspect_off", value=self.aspect_off, low=0, high=1, unit="share")
        if self.duration_min_s is not None:
            bounds.require(field="duration_min_s", value=self.duration_min_s, low=0.001, high=86_400, unit="seconds")
        if self.blank_max is not None:
            bounds.require(field="blank_max", value=self.blank_max, low=0, high=1, unit="share")
        bounds.require(field="near_duplicate_bits", value=self.near_duplicate_bits, low=0, high=32, unit="bits")
        bounds.require(field="tries_max", value=self.tries_max, low=1, high=10, unit="tries")
        if self.near_duplicate_of is not None and not self.near_duplicate_of.startswith("input."):
            raise ValueError(f"near_duplicate_of is {self.near_duplicate_of!r}; it must be of the form input.NAME")

    @property
    def original(self) -> str | None:
        """Give the name of the argument a result must not resemble."""
        return None if self.near_duplicate_of is None else self.near_duplicate_of.removeprefix("input.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Report one medium: None where it has no such thing or it could not be told.

    problem: why it does not decode, empty when it does. blank: share of pixels of its commonest tone. fingerprint:
    its perceptual hash, an int of 64 bits.
    """

    media_type: str
    problem: str = ""
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    blank: float | None = None
    fingerprint: int | None = None


def distance(first: int, second: int) -> int:
    """Count the bits in which two perceptual hashes differ."""
    return (first ^ second).bit_count()


def refusal(options: QualityOptions, media: Sequence[Measured], originals: Sequence[Measured] = ()) -> str | None:
    """Say in one clause what is wrong with the first medium that fails; None when all pass.

    A result without any medium fails: gates are declared for models that make media.
    """
    if not media:
        return "the result has no picture, video or sound in it"
    for place, each in enumerate(media, start=1):
        problem = _problem(options, each, originals)
        if problem is not None:
            return f"medium {place} of {len(media)} ({each.media_type}) {problem}"
    return None


def _problem(options: QualityOptions, each: Measured, originals: Sequence[Measured]) -> str | None:
    if each.problem:
        return f"does not decode: {each.problem}"
    if each.width is not None and each.height is not None:
        if options.width_min is not None and each.width < options.width_min:
            return f"is {each.width} pixels wide; at least {options.width_min} are asked for"
        if options.height_min is not None and each.height < options.height_min:
            return f"is {each.height} pixels high; at least {options.height_min} are asked for"
        if options.aspect is not None:
            aspect = each.width / each.height
            if abs(aspect - options.aspect) > options.aspect_off * options.aspect:
                return f"is {each.width} by {each.height}, {aspect:.3f}; {options.aspect:.3f} is asked for"
    if options.duration_min_s is not None and (each.duration_s or 0.0) < options.duration_min_s:
        told = "has no length that can be told" if each.duration_s is None else f"lasts {each.duration_s:.3g} s"
        return f"{told}; at least {options.duration_min_s:.3g} s are asked for"
    if options.blank_max is not None and each.blank is not None and each.blank > options.blank_max:
        return f"is blank: {each.blank:.1%} of it is of one tone, and {options.blank_max:.1%} is allowed"
    for original in originals if each.fingerprint is not None else ():
        if original.fingerprint is None:
            continue
        assert each.fingerprint is not None
        if distance(each.fingerprint, original.fingerprint) <= options.near_duplicate_bits:
            return f"is nearly the same as {options.near_duplicate_of}"
    return None
