"""The product shoot's pictures: measuring keeps good and weak apart, and what is composed is where it should be."""

import dataclasses
import io
import pathlib
from collections import abc

import pytest

cv2 = pytest.importorskip("cv2", reason="the example needs the extra `demo`: pip install heddle[demo]")
pytest.importorskip("skimage", reason="the example needs the extra `demo`: pip install heddle[demo]")

import numpy as np  # noqa: E402
from PIL import Image as Pillow  # noqa: E402

from examples.product_shoot import contact_sheet, imaging, photos  # noqa: E402
from examples.servers import segmentation  # noqa: E402
from heddle.twins.kit import painter, scenes  # noqa: E402


@pytest.fixture(scope="module")
def packaged() -> dict[str, photos.Photo]:
    return {photo.name: photo for photo in photos.packaged_photos()}


@pytest.fixture(scope="module")
def coin(packaged: dict[str, photos.Photo]) -> tuple[imaging.Image, imaging.Image]:
    image = imaging.decode_image(packaged["silver-coin"].content)
    return image, segmentation.segment(image=image).mask


@pytest.fixture(scope="module")
def wheel(packaged: dict[str, photos.Photo]) -> tuple[imaging.Image, imaging.Image]:
    image = imaging.decode_image(packaged["front-wheel"].content)
    return image, segmentation.segment(image=image).mask


def scene(*, prompt: str, seed: int) -> imaging.Image:
    return imaging.decode_image(
        painter.draw(prompt=prompt, seed=seed, width_px=384, height_px=384, output_format="jpeg")
    )


def look_of(*, prompt: str, seed: int) -> scenes.Look:
    """Find out, as the painter does, how a seed photographs its scene."""
    numbers = np.random.default_rng(painter.seed_for(prompt=prompt, seed=seed))
    canvas = scenes.Canvas(width_px=384, height_px=384, numbers=numbers)
    scenes.PAINTERS[scenes.name_for(prompt=prompt, numbers=numbers)](canvas)
    return scenes.choose_look(numbers=numbers)


def test_photos_when_taken_from_the_package_then_at_least_twelve_differ_and_each_states_its_licence(
    packaged: dict[str, photos.Photo],
) -> None:
    contents = {photo.content for photo in packaged.values()}

    assert len(packaged) >= 12
    assert len(contents) == len(packaged)
    assert all(photo.licence and photo.media_type == "image/jpeg" for photo in packaged.values())


def test_photos_when_taken_twice_then_are_the_same_bytes(packaged: dict[str, photos.Photo]) -> None:
    again = photos.packaged_photos()

    assert again == list(packaged.values())


def test_photos_when_taken_from_a_folder_then_pictures_come_in_order_and_the_rest_is_left(
    tmp_path: pathlib.Path,
) -> None:
    for name in ("b shoe.PNG", "a.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"content of " + name.encode())

    found = photos.folder_photos(folder=tmp_path)

    assert [(photo.name, photo.media_type) for photo in found] == [("001-a", "image/jpeg"), ("002-b-shoe", "image/png")]


def test_photos_when_folder_has_none_then_says_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(photos.NoPhotos, match="holds no"):
        photos.folder_photos(folder=tmp_path)


def test_quality_check_when_given_every_packaged_photo_then_accepts_it(packaged: dict[str, photos.Photo]) -> None:
    refused = {
        name: found.reasons
        for name, photo in packaged.items()
        if not (found := imaging.check_photo(photo.content)).is_accepted
    }

    assert refused == {}


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda image: cv2.GaussianBlur(image, (0, 0), 12), "blurred"),
        (lambda image: (image * 0.06).astype(np.uint8), "too dark"),
        (lambda image: np.full_like(image, 254), "too bright"),
        (lambda image: cv2.resize(image, (120, 120)), "120 x 120"),
    ],
)
def test_quality_check_when_photo_is_spoilt_then_refuses_with_the_reason(
    packaged: dict[str, photos.Photo], spoil: abc.Callable[[imaging.Image], imaging.Image], named: str
) -> None:
    spoilt = spoil(imaging.decode_image(packaged["astronaut"].content))

    found = imaging.quality_check(spoilt)

    assert not found.is_accepted
    assert named in " ".join(found.reasons)


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0" + b"\0" * 9]
)
def test_decode_image_when_bytes_are_no_picture_then_unreadable(content: bytes) -> None:
    with pytest.raises(imaging.UnreadableImage):
        imaging.decode_image(content)


def test_decode_image_when_file_is_truncated_then_does_not_raise_anything_else(
    packaged: dict[str, photos.Photo],
) -> None:
    whole = packaged["spoon"].content

    with pytest.raises(imaging.UnreadableImage):
        imaging.decode_image(whole[:120])


def test_decode_image_when_header_promises_too_many_pixels_then_refuses_before_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(imaging, "PIXELS_MAX", 99)

    with pytest.raises(imaging.UnreadableImage, match="10 x 10"):
        imaging.decode_image(imaging.encode_png(np.zeros((10, 10, 3), dtype=np.uint8)))


def test_encode_png_when_decoded_then_gives_the_same_pixels(coin: tuple[imaging.Image, imaging.Image]) -> None:
    image, mask = coin

    assert np.array_equal(imaging.decode_image(imaging.encode_png(image)), image)
    assert np.array_equal(imaging.decode_mask(imaging.encode_png(mask)), mask)


def test_segment_when_subject_is_a_coin_then_finds_its_disc_and_repeats_itself(
    coin: tuple[imaging.Image, imaging.Image],
) -> None:
    image, mask = coin

    inside, corners = mask[110:180, 110:180], [mask[4, 4], mask[4, -4], mask[-4, 4], mask[-4, -4]]

    assert inside.mean() == 255
    assert not any(corners)
    assert np.array_equal(segmentation.segment(image=image).mask, mask)


def test_composite_when_placed_then_subject_stands_on_the_ground_in_the_middle(
    coin: tuple[imaging.Image, imaging.Image],
) -> None:
    image, mask = coin

    composed = imaging.composite(photo=image, mask=mask, scene=scene(prompt="studio", seed=1))

    rows, columns = np.nonzero(composed.alpha > 0.5)
    assert composed.image.shape == (384, 384, 3)
    assert rows.max() == pytest.approx(384 * imaging.GROUND, abs=4)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(192, abs=3)


def test_composite_when_far_from_the_subject_then_leaves_the_scene_alone(
    coin: tuple[imaging.Image, imaging.Image],
) -> None:
    image, mask = coin
    backdrop = scene(prompt="studio", seed=1)

    composed = imaging.composite(photo=image, mask=mask, scene=backdrop)

    assert np.array_equal(composed.image[:40], backdrop[:40])


def test_composite_when_old_background_is_glaring_then_none_of_it_shows(
    coin: tuple[imaging.Image, imaging.Image],
) -> None:
    image, mask = coin
    glaring = image.copy()
    glaring[mask == 0] = (0, 255, 0)

    composed = imaging.composite(photo=glaring, mask=mask, scene=scene(prompt="studio", seed=1)).image.astype(int)

    greenness = composed[:, :, 1] - np.maximum(composed[:, :, 0], composed[:, :, 2])
    assert greenness.max() < 40


@pytest.mark.parametrize("spoilt", [np.zeros((264, 264), np.uint8), np.full((10, 10), 255, np.uint8)])
def test_composite_when_mask_is_empty_or_of_another_size_then_refuses(
    coin: tuple[imaging.Image, imaging.Image], spoilt: imaging.Image
) -> None:
    with pytest.raises(ValueError, match="mask"):
        imaging.composite(photo=coin[0], mask=spoilt, scene=scene(prompt="studio", seed=1))


def test_score_when_computed_from_files_then_agrees_with_arrays(coin: tuple[imaging.Image, imaging.Image]) -> None:
    image, mask = coin
    backdrop = scene(prompt="marble", seed=1)

    composed = imaging.composite(photo=image, mask=mask, scene=backdrop)
    shot = imaging.composite_files(
        photo=imaging.encode_png(image), mask=imaging.encode_png(mask), scene=imaging.encode_png(backdrop)
    )

    from_files = imaging.score_files(shot=shot, mask=imaging.encode_png(mask))
    assert from_files.score == pytest.approx(
        imaging.score_shot(image=composed.image, alpha=composed.alpha).score, abs=0.03
    )


@pytest.mark.parametrize("prompt", ["studio", "marble", "wood", "sand", "bokeh", "sea"])
def test_score_when_seed_draws_a_weak_scene_then_is_below_the_threshold_and_a_good_one_above(
    wheel: tuple[imaging.Image, imaging.Image], prompt: str
) -> None:
    image, mask = wheel

    def score(seed: int) -> float:
        composed = imaging.composite(photo=image, mask=mask, scene=scene(prompt=prompt, seed=seed))
        return imaging.score_shot(image=composed.image, alpha=composed.alpha).score

    is_weak = {seed: is_weak_look(look_of(prompt=prompt, seed=seed)) for seed in range(8)}
    passed = {seed: score(seed) >= imaging.SHOT_SCORE_MIN for seed in is_weak}
    assert passed == {seed: not weak for seed, weak in is_weak.items()}


def is_weak_look(look: scenes.Look) -> bool:
    return look.exposure < 0.5 or look.haze > 0 or look.clutter > 0


def test_scenes_when_seeds_vary_then_ten_to_twenty_five_percent_are_weak() -> None:
    looks = [look_of(prompt="studio", seed=seed) for seed in range(200)]

    share = sum(is_weak_look(look) for look in looks) / len(looks)

    assert 0.10 <= share <= 0.25


def test_score_when_nothing_or_everything_is_subject_then_is_zero_with_a_reason(
    coin: tuple[imaging.Image, imaging.Image],
) -> None:
    found = imaging.score_shot(image=coin[0], alpha=np.zeros(coin[0].shape[:2], dtype=np.float32))

    assert (found.score, len(found.reasons)) == (0.0, 1)


def test_picture_when_seed_and_prompt_are_the_same_then_bytes_are_and_else_differ() -> None:
    def drawn(seed: int) -> bytes:
        return painter.draw(prompt="wood", seed=seed, width_px=96, height_px=64, output_format="png")

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_contact_sheet_when_tiles_do_not_fill_the_last_row_then_leaves_paper_there(
    coin: tuple[imaging.Image, imaging.Image],
) -> None:
    tiles = [
        contact_sheet.Tile(image=coin[0], caption=f"shot {number}, f\N{LATIN SMALL LETTER U WITH DIAERESIS}r you")
        for number in range(3)
    ]

    sheet = contact_sheet.contact_sheet(tiles=tiles, columns=2, tile_side_px=100)

    assert sheet.shape == (2 * 142 + 12, 2 * 112 + 12, 3)
    assert tuple(sheet[-60, -60]) == contact_sheet.PAPER


def test_thumbnail_file_when_made_then_longer_side_is_as_asked(packaged: dict[str, photos.Photo]) -> None:
    small = contact_sheet.thumbnail_file(content=packaged["rocket"].content, side_px=80)

    with Pillow.open(io.BytesIO(small)) as header:
        assert max(header.size) == 80


def test_records_when_listed_then_scores_are_all_from_zero_to_one(coin: tuple[imaging.Image, imaging.Image]) -> None:
    image, mask = coin
    composed = imaging.composite(photo=image, mask=mask, scene=scene(prompt="sand", seed=2))

    found = dataclasses.asdict(imaging.score_shot(image=composed.image, alpha=composed.alpha))

    assert all(0.0 <= value <= 1.0 for name, value in found.items() if name != "reasons")
