"""Chooses the photographs of the example: crops of those inside scikit-image's package, or a folder of the user's own.

Only files that lie in the installed package are read; the names `skimage.data` would download are never touched, and
neither is `skimage` imported. Each crop carries the licence of its photograph, as scikit-image's documentation states
it. A folder is read as it is: the service checks each file at its door and the workflow's quality check refuses what is
no usable photo. After this the demo command uploads each photo as an artifact.
"""

import importlib.util
import pathlib
from dataclasses import dataclass

import cv2

OUTPUT_SIDE_PX = 640
ENLARGEMENT_MAX = 3.0
JPEG_QUALITY = 93
PHOTOS_MAX = 200
PHOTO_SIZE_MAX_BYTES = 32 * 1024 * 1024
MEDIA_TYPES_BY_SUFFIX = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}

CC0_COFFEE = "CC0, by the photographer Rachel Michetti, courtesy of Pikolo Espresso Bar"
CC0_CAMERA = "CC0, by the photographer Lav Varshney"
PUBLIC_ASTRONAUT = "No known copyright restrictions, released into the public domain (NASA Great Images)"
PUBLIC_ROCKET = "Public domain, by SpaceX"
NO_RESTRICTIONS_COINS = "No known copyright restrictions (Brooklyn Museum Collection)"
MIDDLEBURY = (
    "Middlebury 2014 stereo benchmark (Scharstein et al., GCPR 2014), as redistributed by scikit-image, whose "
    "documentation names no licence for it"
)


class NoPhotos(ValueError):
    """Say that a folder or package holds no photograph that can be used, and which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One input: name is unique and safe as a file name; content is a whole JPEG, PNG or WebP file."""

    name: str
    title: str
    media_type: str
    content: bytes
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A subject within a packaged photograph: box is (left, top, right, bottom) in pixels of that file."""

    name: str
    title: str
    file: str
    box: tuple[int, int, int, int]
    licence: str


CROPS = (
    Crop(
        name="espresso-set",
        title="Espresso cup and saucer",
        file="coffee.png",
        box=(60, 0, 560, 400),
        licence=CC0_COFFEE,
    ),
    Crop(name="espresso-cup", title="Espresso, close", file="coffee.png", box=(150, 0, 470, 320), licence=CC0_COFFEE),
    Crop(name="spoon", title="Silver spoon", file="coffee.png", box=(300, 200, 440, 360), licence=CC0_COFFEE),
    Crop(name="motorcycle", title="Motorcycle", file="motorcycle_right.png", box=(0, 60, 660, 500), licence=MIDDLEBURY),
    Crop(
        name="tank-and-engine",
        title="Tank and engine",
        file="motorcycle_right.png",
        box=(150, 140, 520, 400),
        licence=MIDDLEBURY,
    ),
    Crop(
        name="rear-wheel",
        title="Seat and rear wheel",
        file="motorcycle_right.png",
        box=(20, 150, 340, 460),
        licence=MIDDLEBURY,
    ),
    Crop(
        name="front-wheel",
        title="Front wheel",
        file="motorcycle_left.png",
        box=(470, 200, 700, 480),
        licence=MIDDLEBURY,
    ),
    Crop(
        name="astronaut",
        title="Astronaut Eileen Collins",
        file="astronaut.png",
        box=(40, 0, 360, 420),
        licence=PUBLIC_ASTRONAUT,
    ),
    Crop(
        name="mission-patch",
        title="Mission patch",
        file="astronaut.png",
        box=(110, 310, 240, 440),
        licence=PUBLIC_ASTRONAUT,
    ),
    Crop(
        name="shuttle-model",
        title="Model of the shuttle",
        file="astronaut.png",
        box=(340, 0, 490, 300),
        licence=PUBLIC_ASTRONAUT,
    ),
    Crop(
        name="rocket", title="Falcon 9 with DSCOVR", file="rocket.jpg", box=(200, 100, 440, 427), licence=PUBLIC_ROCKET
    ),
    Crop(name="photographer", title="Photographer", file="camera.png", box=(130, 30, 380, 230), licence=CC0_CAMERA),
    Crop(
        name="silver-coin",
        title="Greek silver coin",
        file="coins.png",
        box=(296, 140, 384, 232),
        licence=NO_RESTRICTIONS_COINS,
    ),
    Crop(
        name="bronze-coin",
        title="Greek coin with a portrait",
        file="coins.png",
        box=(0, 217, 88, 303),
        licence=NO_RESTRICTIONS_COINS,
    ),
)


def packaged_photos() -> list[Photo]:
    """Cut every crop of the list out of the photographs inside scikit-image's package, as JPEG files.

    Small crops are enlarged, at most 3 times, to 640 px on the longer side. Every call gives the same bytes. Raises
    NoPhotos where scikit-image is not installed or lacks a file.
    """
    folder = _package_folder()
    return [_cut(folder=folder, crop=crop) for crop in CROPS]


def folder_photos(*, folder: pathlib.Path) -> list[Photo]:
    """Read the user's own photographs: each .jpg, .jpeg, .png and .webp file directly in folder, by name.

    At most 200 files of at most 32 MiB. Raises NoPhotos naming the folder or the file where that does not hold.
    """
    if not folder.is_dir():
        raise NoPhotos(f"{folder} is not a folder: give PHOTOS=folder the path of one with jpeg, png or webp files.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in MEDIA_TYPES_BY_SUFFIX and path.is_file())
    if not paths:
        raise NoPhotos(f"{folder} holds no .jpg, .jpeg, .png or .webp file.")
    if len(paths) > PHOTOS_MAX:
        raise NoPhotos(f"{folder} holds {len(paths)} photos; {PHOTOS_MAX} is the most the example takes at once.")
    return [_read(path=path, position=position) for position, path in enumerate(paths)]


def _package_folder() -> pathlib.Path:
    specification = importlib.util.find_spec("skimage")
    if specification is None or specification.origin is None:
        raise NoPhotos("scikit-image is not installed: install the extra `demo`, or give PHOTOS=folder your own.")
    return pathlib.Path(specification.origin).parent / "data"


def _cut(*, folder: pathlib.Path, crop: Crop) -> Photo:
    path = folder / crop.file
    whole = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if whole is None:
        raise NoPhotos(f"scikit-image's package holds no readable {crop.file}: reinstall it, or give PHOTOS=folder.")
    left, top, right, bottom = crop.box
    image = whole[top:bottom, left:right]
    scale = min(ENLARGEMENT_MAX, OUTPUT_SIDE_PX / max(image.shape[:2]))
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LANCZOS4)
    is_encoded, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert is_encoded, f"OpenCV could not encode {crop.name}"
    return Photo(
        name=crop.name, title=crop.title, media_type="image/jpeg", content=encoded.tobytes(), licence=crop.licence
    )


def _read(*, path: pathlib.Path, position: int) -> Photo:
    size_bytes = path.stat().st_size
    if size_bytes > PHOTO_SIZE_MAX_BYTES:
        raise NoPhotos(f"{path} has {size_bytes} bytes; {PHOTO_SIZE_MAX_BYTES} is the most a photo may have.")
    safe = "".join(letter if letter.isalnum() else "-" for letter in path.stem.lower()).strip("-")[:60] or "photo"
    return Photo(
        name=f"{position + 1:03d}-{safe}",
        title=path.stem,
        media_type=MEDIA_TYPES_BY_SUFFIX[path.suffix.lower()],
        content=path.read_bytes(),
        licence="the user's own",
    )
