"""Values of every supported type go to JSON and come back; what does not fit is named."""

import dataclasses
import datetime
import decimal
import enum
import json
import uuid
from collections.abc import Iterator
from typing import Any, Literal, Optional

import pydantic
import pytest
import typing_extensions

import heddle
from heddle.core import artifact, faults, plan
from heddle.program import errors, registry, types


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    with registry.isolated():
        yield


HASH = "ab" * 32
PHOTO = artifact.Artifact(sha256=HASH, media_type="image/png", size_bytes=5)


class Colour(enum.Enum):
    """Name a colour."""

    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Box:
    """Hold a box with a picture in it."""

    width_px: int
    picture: heddle.Artifact
    colour: Colour = Colour.RED


class Order(pydantic.BaseModel):
    """Hold an order under the names of the outside."""

    model_config = pydantic.ConfigDict(populate_by_name=True)

    boxes: list[Box]
    price_usd: decimal.Decimal = pydantic.Field(alias="priceUsd")
    anything: Any = None


class Named(typing_extensions.TypedDict):
    """Hold one name."""

    name: str


VALUES: list[tuple[Any, Any]] = [
    (int, 3),
    (float, 0.5),
    (bool, True),
    (str, "$text"),
    (type(None), None),
    (list[int], [1, 2]),
    (dict[str, int], {"$mark": 1, "$$more": 2, "plain": 3}),
    (tuple[int, str], (1, "a")),
    (Literal["a", "b"], "b"),
    (Optional[int], None),  # noqa: UP045 - both spellings are annotations
    (int | str | None, "x"),
    (Colour, Colour.BLUE),
    (datetime.datetime, datetime.datetime(2026, 11, 21, 12, 30, tzinfo=datetime.UTC)),
    (datetime.date, datetime.date(2026, 11, 21)),
    (uuid.UUID, uuid.UUID(int=7)),
    (pydantic.HttpUrl, pydantic.HttpUrl("https://example.org/photo.png")),
    (decimal.Decimal, decimal.Decimal("1.10")),
    (artifact.Artifact, PHOTO),
    (list[heddle.Artifact], [PHOTO, PHOTO]),
    (Box, Box(width_px=3, picture=PHOTO, colour=Colour.BLUE)),
    (Order, Order(boxes=[Box(width_px=3, picture=PHOTO)], price_usd=decimal.Decimal("0.5"), anything=[PHOTO])),
    (Named, {"name": "n"}),
    (Any, {"deep": [PHOTO, {"$call": [1, []], "$artifact": "no"}]}),
    (dict[str, Any], {"photo": PHOTO}),
]


@pytest.mark.parametrize(("annotation", "value"), VALUES, ids=[str(index) for index in range(len(VALUES))])
def test_value_when_encoded_stored_and_decoded_then_it_is_equal(annotation: Any, value: Any) -> None:
    codec = types.codec(annotation)

    stored = json.loads(json.dumps(codec.encode(value)))

    assert codec.decode(stored) == value


def test_user_keys_when_they_look_like_marks_then_they_are_none() -> None:
    stored = types.codec(dict[str, Any]).encode({"$call": [1, []], "$artifact": "x"})

    assert stored == {"$$call": [1, []], "$$artifact": "x"}
    assert list(plan.references(stored)) == []
    assert list(plan.artifacts(stored)) == []


@pytest.mark.parametrize(
    "annotation",
    [bytes, set[int], frozenset[str], datetime.timedelta, complex, object.__class__, dict[int, str], list[bytes]],
)
def test_type_when_json_cannot_carry_it_then_it_is_refused(annotation: Any) -> None:
    with pytest.raises(types.TypeRefused):
        types.codec(annotation)


ARTIFACT_FORMS: list[Any] = [
    f"sha256:{HASH}",
    {"id": f"sha256:{HASH}", "media_type": "image/png", "size_bytes": 5},
    {"$artifact": f"sha256:{HASH}"},
]


@heddle.workflow(name="types.develop")
async def develop(photo: heddle.Artifact, boxes: list[Box], note: str = "none", json: Any = None) -> list[Box]:
    """Develop a photo.

    The result has a box for each one given.
    """
    return boxes


@pytest.mark.parametrize("form", ARTIFACT_FORMS, ids=["text", "public", "marked"])
def test_input_when_an_artifact_is_given_in_any_form_then_it_is_stored_marked(form: Any) -> None:
    stored = develop.validate_input({"photo": form, "boxes": [{"width_px": "3", "picture": form}]})

    assert stored["photo"]["$artifact"] == f"sha256:{HASH}"
    assert stored["note"] == "none"
    assert [found.sha256 for found in plan.artifacts(stored)] == [HASH, HASH]
    decoded = develop.decode_input(stored)
    assert isinstance(decoded["boxes"][0], Box)
    assert isinstance(decoded["photo"], artifact.Artifact)


def test_input_when_it_does_not_fit_then_each_field_is_named() -> None:
    with pytest.raises(heddle.InputRefused) as refused:
        develop.validate_input({"photo": "sha256:short", "boxes": [{"width_px": "wide"}], "colour": "red"})

    assert [place for place, _ in refused.value.errors] == ["photo", "boxes[0].width_px", "boxes[0].picture", "colour"]
    assert refused.value.errors[0][1].startswith("an artifact's sha256 is 64 lower-case hex digits")


def nested(depth: int) -> Any:
    """Give lists in lists."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [("x" * 70_000, "note is 70,002 bytes"), (None, "Input should be a valid string")],
)
def test_input_when_a_value_is_too_large_or_missing_then_the_field_is_named(value: Any, words: str) -> None:
    with pytest.raises(heddle.InputRefused) as refused:
        develop.validate_input({"photo": ARTIFACT_FORMS[0], "boxes": [], "note": value})

    ((place, message),) = refused.value.errors
    assert place == "note"
    assert message.startswith(words)


@pytest.mark.parametrize("depth", [65, 400])
def test_input_when_it_is_nested_too_deep_then_the_field_is_named(depth: int) -> None:
    with pytest.raises(heddle.InputRefused) as refused:
        develop.validate_input({"photo": ARTIFACT_FORMS[0], "boxes": [], "json": nested(depth)})

    ((place, message),) = refused.value.errors
    assert place == "json"
    assert "nested more than 64 deep" in message


def test_schemas_then_they_are_json_schema_of_what_is_taken_and_given() -> None:
    schema = develop.input_schema

    assert schema["required"] == ["photo", "boxes"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["note"]["default"] == "none"
    assert schema["properties"]["photo"]["x-heddle-artifact"] is True
    assert develop.output_schema["items"]["$ref"] == "#/$defs/Box"
    assert develop.description.startswith("Develop a photo.")
    json.dumps([schema, develop.output_schema])


@heddle.step(name="types.measure")
def measure(box: Box, at: datetime.datetime, factor: float = 1.0) -> dict[str, float]:
    """Measure a box."""
    return {"width_px": box.width_px * factor}


def test_step_when_its_arguments_are_decoded_then_they_are_of_the_annotated_types() -> None:
    decoded = measure.decode_arguments(
        {"box": {"width_px": 3, "picture": PHOTO.as_json(), "colour": "blue"}, "at": "2026-11-21T12:00:00Z"}
    )

    assert decoded["box"] == Box(width_px=3, picture=PHOTO, colour=Colour.BLUE)
    assert decoded["at"] == datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
    assert measure.function(**decoded) == {"width_px": 3.0}
    assert (measure.is_async, measure.reference) == (False, f"{__name__}:measure")


def test_step_when_its_arguments_do_not_fit_then_each_is_named() -> None:
    with pytest.raises(errors.ArgumentsRefused) as refused:
        measure.decode_arguments({"box": {"width_px": 3}, "extra": 1})

    assert refused.value.fault.fault is faults.Fault.REJECTED_PERMANENT
    assert refused.value.fault.message == (
        "the arguments do not fit: box.picture: Field required; extra: the step has no such parameter; at: missing"
    )


@pytest.mark.parametrize(
    ("value", "fault", "words"),
    [
        ({"a": "wide"}, faults.Fault.BAD_OUTPUT, "output.a: Input should be a valid number"),
        (None, faults.Fault.BAD_OUTPUT, "output: Input should be a valid dictionary"),
        ({"a": float("inf")}, faults.Fault.BAD_OUTPUT, "output.a is inf"),
        ({"k" * 70_000: 1.0}, faults.Fault.TOO_LARGE, "output is 70,0"),
    ],
)
def test_step_when_its_output_does_not_fit_then_the_place_is_named(value: Any, fault: faults.Fault, words: str) -> None:
    with pytest.raises(errors.OutputRefused) as refused:
        measure.encode_output(value)

    assert refused.value.fault.fault is fault
    assert refused.value.fault.message.startswith(words)
    assert refused.value.fault.where == "step types.measure"


def test_model_when_it_has_types_then_both_directions_are_checked() -> None:
    model = heddle.model("types.relight", input=Named, output=Box)

    assert model.validate_input({"name": "n"}) == {"name": "n"}
    assert model.validate_arguments({"name": "n"}) == {"name": "n"}
    assert model.encode_output({"width_px": 1, "picture": PHOTO})["picture"] == PHOTO.as_json()
    with pytest.raises(heddle.InputRefused):
        model.validate_input({})
    with pytest.raises(errors.ArgumentsRefused):
        model.validate_arguments({"name": 3})
    with pytest.raises(errors.OutputRefused):
        model.encode_output({"width_px": 1})


def test_model_when_it_has_no_types_then_any_json_goes() -> None:
    model = heddle.model("types.any")

    assert model.validate_input({"photo": PHOTO, "$k": 1}) == {"photo": PHOTO.as_json(), "$$k": 1}
    assert model.encode_output([PHOTO, 1]) == [PHOTO.as_json(), 1]
    assert (model.input_schema, model.output_schema) == (None, None)
    with pytest.raises(errors.OutputRefused):
        model.encode_output(b"raw")


def test_workflow_when_its_resolved_result_is_checked_then_the_stored_form_stays() -> None:
    stored = [{"width_px": 3, "picture": PHOTO.as_json(), "colour": "red"}]

    assert develop.validate_output(stored) == stored
    with pytest.raises(errors.OutputRefused, match=r"output\[0\]\.picture"):
        develop.validate_output([{"width_px": 3}])
