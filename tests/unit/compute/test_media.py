"""Media are measured as they are: pictures by pixels, videos and sounds by their headers, broken ones as broken."""

import io
import struct
import wave

import pytest
from PIL import Image, ImageDraw

from heddle.compute import media
from heddle.core.policy import quality

PIXELS_MAX = 10_000_000


def picture(*, seed: int = 1, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Draw something that is different everywhere."""
    made = Image.linear_gradient("L").rotate(31 * seed).resize(size).convert("RGB")
    drawn = ImageDraw.Draw(made)
    drawn.ellipse((40 * seed, 30, 40 * seed + 90, 150), fill=(200, 30, 60))
    drawn.rectangle((10, 100 + 20 * seed, 120, 220), fill=(20, 90, 200))
    return made


def png(made: Image.Image) -> bytes:
    stream = io.BytesIO()
    made.save(stream, "PNG")
    return stream.getvalue()


def measured(content: bytes, media_type: str = "image/png") -> quality.Measured:
    return media.measured(content, media_type=media_type, pixels_max=PIXELS_MAX)


def test_measured_when_a_picture_is_whole_then_its_size_and_tones_are_told() -> None:
    found = measured(png(picture()))

    assert (found.problem, found.width, found.height, found.duration_s) == ("", 320, 240, None)
    assert found.blank is not None
    assert found.blank < 0.5


@pytest.mark.parametrize("tone", [(0, 0, 0), (255, 255, 255), (128, 130, 127)])
def test_measured_when_a_picture_is_of_one_tone_then_it_is_blank(tone: tuple[int, int, int]) -> None:
    assert measured(png(Image.new("RGB", (64, 64), tone))).blank == 1.0


def test_measured_when_a_picture_is_transparent_then_it_is_blank() -> None:
    assert measured(png(Image.new("RGBA", (64, 64), (10, 200, 30, 0)))).blank == 1.0


def test_measured_when_a_picture_is_cut_short_then_it_does_not_decode() -> None:
    found = measured(png(picture())[:2_000])

    assert found.problem.startswith("OSError: ")


def test_measured_when_it_is_no_picture_then_it_does_not_decode() -> None:
    assert measured(b"no picture").problem.startswith("UnidentifiedImageError: ")


def test_measured_when_a_picture_has_too_many_pixels_then_it_is_not_decoded() -> None:
    found = media.measured(png(picture()), media_type="image/png", pixels_max=1_000)

    assert found.problem == "320 by 240 pixels are more than 1,000"
    assert found.fingerprint is None


def test_fingerprint_when_a_picture_is_scaled_and_compressed_then_it_is_nearly_the_same_and_another_is_not() -> None:
    stream = io.BytesIO()
    picture().resize((200, 150)).save(stream, "JPEG", quality=60)

    same, again, other = (
        found.fingerprint
        for found in (
            measured(png(picture())),
            measured(stream.getvalue(), "image/jpeg"),
            measured(png(picture(seed=3))),
        )
    )

    assert same is not None
    assert again is not None
    assert other is not None
    assert quality.distance(same, again) <= 4 < quality.distance(same, other)


def test_measured_when_a_picture_moves_then_its_length_is_told() -> None:
    stream = io.BytesIO()
    frames = [picture(seed=seed) for seed in (1, 2, 3)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=200)

    assert measured(stream.getvalue(), "image/gif").duration_s == pytest.approx(0.6)


def test_measured_when_a_sound_is_given_then_its_length_is_told() -> None:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(b"\0\0" * 4_000)

    assert measured(stream.getvalue(), "audio/wav").duration_s == 0.5


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


@pytest.mark.parametrize(
    "header", [struct.pack(">IIIII", 0, 0, 0, 600, 1_500), struct.pack(">IQQIQ", 1 << 24, 0, 0, 600, 1_500)]
)
def test_measured_when_a_video_has_a_movie_header_then_its_length_is_told(header: bytes) -> None:
    content = box(b"ftyp", b"isom") + box(b"mdat", b"\0" * 64) + box(b"moov", box(b"mvhd", header))

    assert measured(content, "video/mp4").duration_s == 2.5


@pytest.mark.parametrize("content", [b"", b"\0\0\0\1moov", box(b"moov", b"\xff" * 20), box(b"ftyp", b"isom")])
def test_measured_when_a_video_has_no_movie_header_then_no_length_is_told(content: bytes) -> None:
    assert measured(content, "video/mp4").duration_s is None


def test_measured_when_a_movie_header_is_cut_short_then_it_is_a_problem() -> None:
    assert measured(box(b"moov", box(b"mvhd", b"\0" * 4)), "video/mp4").problem.startswith("error: ")
