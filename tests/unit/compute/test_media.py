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


def element(kind: int, content: bytes, *, size: bytes | None = None) -> bytes:
    """Write an element of WebM; its size takes eight bytes."""
    stated = size or (1 << 56 | len(content)).to_bytes(8, "big")
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + stated + content


def webm(*children: bytes, size: bytes | None = None) -> bytes:
    return element(0x1A45DFA3, element(0x4282, b"webm")) + element(0x18538067, b"".join(children), size=size)


def info(*children: bytes) -> bytes:
    return element(0x1549A966, b"".join(children))


CLUSTER = element(0x1F43B675, b"\0" * 500)
HALF_MS = element(0x2AD7B1, (500_000).to_bytes(3, "big"))
LIVE = b"\x01" + b"\xff" * 7


@pytest.mark.parametrize(
    ("content", "duration_s"),
    [
        (webm(info(element(0x4489, struct.pack(">d", 2_500.0)))), 2.5),
        (webm(CLUSTER, info(HALF_MS, element(0x4489, struct.pack(">f", 2_500.0)))), 1.25),
        (webm(info(element(0x4489, struct.pack(">d", 2_500.0))), CLUSTER, size=LIVE), 2.5),
        (webm(info(element(0x4489, struct.pack(">d", 2_500.0))), CLUSTER)[:-400], 2.5),
        (webm(info(HALF_MS), CLUSTER), None),
        (webm(CLUSTER), None),
        (webm(element(0x1F43B675, b"\0" * 50, size=LIVE), size=LIVE), None),
    ],
    ids=["whole", "info last", "live", "cut short", "no length", "no info", "a live recording"],
)
def test_measured_when_a_webm_states_its_length_then_it_is_told(content: bytes, duration_s: float | None) -> None:
    found = measured(content, "video/webm")

    assert (found.problem, found.duration_s) == ("", duration_s)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 64,
        b"\x1a\x45\xdf\xa3",
        webm(),
        webm(element(0x1549A966, b"", size=(1 << 56 | 1 << 50).to_bytes(8, "big"))),
        webm(info(element(0x4489, b"\0" * 3))),
        webm(info(element(0x4489, struct.pack(">d", float("nan"))))),
        webm(info(element(0x4489, struct.pack(">d", -1.0)))),
        webm(info(element(0x4489, struct.pack(">d", 1e308)), element(0x2AD7B1, b"\xff" * 200))),
        webm(element(0xEC, b"") * 20_000),
    ],
)
def test_measured_when_a_webm_is_hostile_then_it_is_unreadable_or_has_no_length(content: bytes) -> None:
    found = measured(content, "video/webm")

    assert found.duration_s is None
    assert found.problem.startswith("unreadable: ") or content == webm()


def page(packet: bytes, *, granule: int = 0, serial: int = 7, flags: int = 0) -> bytes:
    """Write a page of Ogg with one packet on it."""
    laces = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    return struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, 0, 0, len(laces)) + laces + packet


OPUS = b"OpusHead" + struct.pack("<BBHIHB", 1, 2, 312, 44_100, 0, 0)
VORBIS = b"\x01vorbis" + struct.pack("<IBIIIIBB", 0, 1, 22_050, 0, 0, 0, 0xB8, 1)
FLAC = b"\x7fFLAC\1\0\0\1fLaC" + b"\0\0\0\x22" + b"\0" * 10 + struct.pack(">I", 44_100 << 12) + b"\0" * 20
SPEEX = b"Speex   " + b"1.2".ljust(20, b"\0") + struct.pack("<III", 1, 80, 16_000) + b"\0" * 40
THEORA = page(b"\x80theora" + b"\0" * 40, serial=1, flags=2)


@pytest.mark.parametrize(
    ("head", "granule", "duration_s"),
    [(OPUS, 48_312, 1.0), (VORBIS, 33_075, 1.5), (FLAC, 88_200, 2.0), (SPEEX, 8_000, 0.5), (OPUS, 100, 0.0)],
    ids=["opus", "vorbis", "flac", "speex", "shorter than its lead-in"],
)
@pytest.mark.parametrize("before", [b"", THEORA], ids=["sound", "film"])
def test_measured_when_an_ogg_has_sound_then_its_last_page_tells_its_length(
    head: bytes, granule: int, duration_s: float, before: bytes
) -> None:
    pages = [page(head, flags=2), page(b"\1" * 700, granule=granule // 2), page(b"\2" * 9, granule=granule, flags=4)]
    # A page on which no packet ends, and another stream's, come after it.
    content = before + b"".join(pages) + page(b"\3", granule=-1) + page(b"\4", granule=9**9, serial=8)

    found = measured(content, "audio/ogg")

    assert (found.problem, found.duration_s) == ("", duration_s)


def test_measured_when_an_ogg_has_no_sound_that_is_known_then_no_length_is_told() -> None:
    found = measured(THEORA + page(b"\1" * 50, granule=900, serial=1), "audio/ogg")

    assert (found.problem, found.duration_s) == ("", None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"OggS",
        page(OPUS),
        page(OPUS[:9], flags=2),
        page(VORBIS[:11] + b"\0" * 20, flags=2),
        page(OPUS, flags=2)[:-1],
        page(OPUS, flags=2) + page(b"", granule=-5),
        page(OPUS, flags=2) + b"OggS" * 60_000,
    ],
)
def test_measured_when_an_ogg_is_hostile_then_it_is_unreadable(content: bytes) -> None:
    assert measured(content, "audio/ogg").problem.startswith("unreadable: ")
