"""Turn one photo of a product into finished shots: `product_shoot`, and `approve_shoot`, where a person decides.

A run checks the photo, has the subject cut out by our own model service, has a line of text written and a backdrop
generated for each scene by paid providers, composes and scores the shots, and makes weak ones again with another seed
before it delivers. Calls that
are not awaited are edges and run side by side; each `await` is durable: a run killed there goes on where it was.
Before it: a door that takes the photo. After it: whoever asked for the run reads its result.
"""

import dataclasses
import json

import heddle
from examples.product_shoot import imaging
from heddle import Artifact, Retry

SCENES_MAX = 6
ROUNDS_MAX = 3
SEED_STEP = 1_000
SIDE_PX = 512
DAY_S = 86_400.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterInput:
    """What the model `segmenter` takes: a picture."""

    image: Artifact


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterOutput:
    """What it gives: the subject as a PNG of the picture's size, white on black."""

    mask: Artifact


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BackdropInput:
    """What the paid model `backdrop` takes; prompt and seed fix the picture, width and height are in pixels."""

    prompt: str
    seed: int
    width: int = SIDE_PX
    height: int = SIDE_PX
    output_format: str = "jpeg"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BackdropOutput:
    """What it gives: a picture without a subject, and the seed it was made from."""

    image: Artifact
    seed: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CopyInput:
    """What the model `copywriter` takes: what is sold, and where it is shown."""

    brief: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CopyOutput:
    """What it gives: one line of text."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PhotoReport:
    """What the check of the photo found; score is 0 to 1."""

    score: float
    is_accepted: bool
    reasons: list[str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good a shot is, 0 to 1, and what is wrong with it."""

    value: float
    reasons: list[str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One delivered picture: its scene, its score and the round in which it was made, from 1."""

    scene: str
    image: Artifact
    score: float
    round: int
    reasons: list[str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a run gives: the cut-out, the shots in the order of the scenes, a line of text, and a JSON file that
    describes them.
    """

    photo_score: float
    mask: Artifact
    shots: list[Shot]
    line: str
    sidecar: Artifact


class PhotoRefused(ValueError):
    """Say that a photo is not fit for a shoot, and why."""


segment = heddle.model("segmenter", input=SegmenterInput, output=SegmenterOutput, timeout_s=30)
# Two of three sellers may be away at once for some seconds, and then a try costs nothing.
backdrop = heddle.model("backdrop", input=BackdropInput, output=BackdropOutput, retry=Retry(max_attempts=12))
copywriter = heddle.model("copywriter", input=CopyInput, output=CopyOutput, retry=Retry(max_attempts=6))


@heddle.step(timeout_s=20, retry=Retry(max_attempts=3))
def check_photo(photo: Artifact) -> PhotoReport:
    """Measure whether a photo is fit to work with; what is no picture at all is unfit too."""
    try:
        quality = imaging.check_photo(heddle.read_artifact(photo))
    except imaging.UnreadableImage as error:
        return PhotoReport(score=0.0, is_accepted=False, reasons=[str(error)])
    return PhotoReport(score=quality.score, is_accepted=quality.is_accepted, reasons=list(quality.reasons))


@heddle.step(timeout_s=30, retry=Retry(max_attempts=3))
def compose(photo: Artifact, mask: Artifact, scene: Artifact) -> Artifact:
    """Put the subject of a photo into a scene; gives a JPEG of the scene's size."""
    content = imaging.composite_files(
        photo=heddle.read_artifact(photo), mask=heddle.read_artifact(mask), scene=heddle.read_artifact(scene)
    )
    return heddle.write_artifact(content, "image/jpeg")


@heddle.step(timeout_s=20, retry=Retry(max_attempts=3))
def score(shot: Artifact, mask: Artifact) -> Score:
    """Measure how good a shot is."""
    measured = imaging.score_files(shot=heddle.read_artifact(shot), mask=heddle.read_artifact(mask))
    return Score(value=measured.score, reasons=list(measured.reasons))


@heddle.step(timeout_s=20, retry=Retry(max_attempts=3))
def deliver(photo: Artifact, photo_score: float, mask: Artifact, shots: list[Shot], line: str) -> Delivery:
    """Gather what was made and describe it in a JSON file beside the pictures."""
    description = {
        "photo": photo.id,
        "photo_score": photo_score,
        "line": line,
        "shots": [
            {"scene": shot.scene, "image": shot.image.id, "score": shot.score, "round": shot.round} for shot in shots
        ],
    }
    content = json.dumps(description, indent=2, sort_keys=True).encode()
    sidecar = heddle.write_artifact(content, "application/json")
    return Delivery(photo_score=photo_score, mask=mask, shots=shots, line=line, sidecar=sidecar)


@heddle.workflow
async def product_shoot(photo: Artifact, scenes: list[str], seed: int = 1, product: str = "") -> Delivery:
    """Make one good shot of the photo's subject in each scene, at most six; weak ones are made again, up to twice."""
    refuse_scenes(scenes)
    report = await check_photo(photo=photo)
    if not report.is_accepted:
        raise PhotoRefused(" ".join(report.reasons) or f"The photo scores {report.score:.2f}, too low for a shoot.")
    mask = segment(image=photo).mask

    best: dict[str, Shot] = {}
    for number in range(1, ROUNDS_MAX + 1):
        weak = [scene for scene in scenes if scene not in best or best[scene].score < imaging.SHOT_SCORE_MIN]
        if not weak:
            break
        images = [compose(photo=photo, mask=mask, scene=paint(scenes, scene, number, seed).image) for scene in weak]
        scores = await heddle.all_of([score(shot=image, mask=mask) for image in images])
        for scene, image, measured in zip(weak, images, scores, strict=True):
            if scene not in best or measured.value > best[scene].score:
                # The image is not awaited: it is passed on as an edge, here and to the delivery.
                best[scene] = Shot(
                    scene=scene, image=image, score=measured.value, round=number, reasons=measured.reasons
                )

    shots = [best[scene] for scene in scenes]
    line = copywriter(brief=f"{product or 'A product'}, shown in: {', '.join(scenes)}. Variant {seed}.").text
    delivery: Delivery = deliver(photo=photo, photo_score=report.score, mask=mask, shots=shots, line=line)
    return delivery


@heddle.workflow
async def approve_shoot(photo: Artifact, scenes: list[str], seed: int = 1, patience_s: float = DAY_S) -> list[Shot]:
    """Have a shoot made and a person decide on it: the signal `art_director` with "approved", or nothing is delivered.

    patience_s: how long the person has. No worker waits meanwhile; the shoot itself is a run of its own.
    """
    delivery = await product_shoot(photo=photo, scenes=scenes, seed=seed)
    try:
        verdict = await heddle.signal("art_director", timeout_s=patience_s)
    except heddle.StepFailed:
        return []
    return list(delivery.shots) if verdict == "approved" else []


def paint(scenes: list[str], scene: str, number: int, seed: int) -> heddle.Call[BackdropOutput]:
    """Have a scene generated, with a seed of its own for each scene and round."""
    painted: heddle.Call[BackdropOutput] = backdrop(prompt=scene, seed=seed + SEED_STEP * number + scenes.index(scene))
    return painted


def refuse_scenes(scenes: list[str]) -> None:
    """Refuse a list of scenes that no shoot can be made of. Raises ValueError."""
    if not 1 <= len(scenes) <= SCENES_MAX or len(set(scenes)) != len(scenes):
        raise ValueError(f"A shoot has 1 to {SCENES_MAX} different scenes; it was asked for {len(scenes)}.")
