"""Gates refuse a result by what was measured of it, in one clause."""

import dataclasses

import pytest

from heddle.core.policy import quality
from heddle.core.policy.quality import Measured, QualityOptions

GOOD = Measured(media_type="image/png", width=800, height=600, blank=0.1, fingerprint=0b1111)


@pytest.mark.parametrize(
    ("options", "changes", "clause"),
    [
        (QualityOptions(decodes=True), {"problem": "cut short"}, "does not decode: cut short"),
        (QualityOptions(width_min=801), {}, "is 800 pixels wide; at least 801 are asked for"),
        (QualityOptions(height_min=601), {}, "is 600 pixels high; at least 601 are asked for"),
        (QualityOptions(aspect=1.0), {}, "is 800 by 600, 1.333; 1.000 is asked for"),
        (QualityOptions(blank_max=0.9), {"blank": 0.95}, "is blank: 95.0% of it is of one tone, and 90.0% is allowed"),
        (QualityOptions(duration_min_s=2), {"duration_s": 1.5}, "lasts 1.5 s; at least 2 s are asked for"),
        (QualityOptions(duration_min_s=2), {}, "has no length that can be told; at least 2 s are asked for"),
    ],
)
def test_refusal_when_a_gate_is_not_passed_then_one_clause_says_which(
    options: QualityOptions, changes: dict[str, object], clause: str
) -> None:
    bad = dataclasses.replace(GOOD, **changes)  # type: ignore[arg-type]

    assert quality.refusal(options, [GOOD, bad][-1:]) == f"medium 1 of 1 (image/png) {clause}"


def test_refusal_when_every_gate_is_passed_then_there_is_none() -> None:
    options = QualityOptions(decodes=True, width_min=800, height_min=600, aspect=4 / 3, blank_max=0.5)

    assert quality.refusal(options, [GOOD, GOOD]) is None


@pytest.mark.parametrize(("original", "is_refused"), [(0b1110, True), (0b1111 << 8, False)])
def test_refusal_when_it_resembles_what_was_given_then_it_is_told(original: int, is_refused: bool) -> None:
    options = QualityOptions(near_duplicate_of="input.image")
    given = dataclasses.replace(GOOD, fingerprint=original)

    assert (quality.refusal(options, [GOOD], [given]) is not None) is is_refused


def test_refusal_when_there_is_no_medium_then_it_fails() -> None:
    assert quality.refusal(QualityOptions(decodes=True), []) == "the result has no picture, video or sound in it"


@pytest.mark.parametrize(
    "wrong",
    [{"width_min": 0}, {"aspect": 0}, {"blank_max": 2}, {"tries_max": 0}, {"near_duplicate_of": "image"}],
)
def test_options_when_one_is_out_of_range_then_it_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        QualityOptions(**wrong)  # type: ignore[arg-type]
