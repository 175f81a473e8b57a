"""Turn annotations into codecs: Python values in, stored JSON out, JSON Schema for the doors.

The annotation is the schema. A codec validates what goes in either direction and refuses types whose values JSON
cannot carry. It also teaches pydantic what an artifact is, so that core need not know pydantic. Neighbours:
``signatures`` builds codecs at registration; definitions use them.
"""

import dataclasses
import functools
import typing
from collections.abc import Iterator
from typing import Any

import pydantic
import pydantic.annotated_handlers
import pydantic.json_schema
import pydantic_core

from heddle.core import artifact, faults, identity
from heddle.program import encoding
from heddle.program.errors import OutputRefused

_ID: dict[str, Any] = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": _ID,
        "media_type": {"type": "string"},
        "size_bytes": {"type": "integer", "minimum": 0},
    },
}

# What pydantic can validate and JSON cannot carry back unchanged.
_UNSTORABLE = {
    "bytes": "bytes; pass an artifact",
    "set": "a set, which has no order; pass a list",
    "frozenset": "a frozenset, which has no order; pass a list",
    "timedelta": "a timedelta; pass a number of seconds",
    "callable": "a callable",
    "generator": "an iterator; pass a list",
    "complex": "a complex number; pass two floats",
    "is-instance": "a type that has no JSON form",
    "is-subclass": "a class",
}
_NOT_TYPES = frozenset({"serialization", "metadata", "ref", "default", "expected", "members"})
_KEYS = frozenset(
    {"str", "enum", "literal", "any", "definition-ref", "function-plain", "function-wrap", "function-after"}
)


def _read_artifact(value: object) -> artifact.Artifact:
    if isinstance(value, artifact.Artifact):
        return value
    if isinstance(value, str):
        return artifact.Artifact.from_json({"id": value})
    if isinstance(value, dict):
        return artifact.Artifact.from_json(value)
    raise ValueError("an artifact is given as its id, sha256:<64 hex digits>, or as an object with that id")


def _write_artifact(value: artifact.Artifact, info: pydantic_core.core_schema.SerializationInfo) -> object:
    return encoding.Held(value) if info.mode == "python" else value.as_public_json()


_SERIALIZATION = pydantic_core.core_schema.plain_serializer_function_ser_schema(_write_artifact, info_arg=True)


def _core_schema(
    _class: type, _source: object, _handler: pydantic.GetCoreSchemaHandler
) -> pydantic_core.core_schema.CoreSchema:
    return pydantic_core.core_schema.no_info_plain_validator_function(_read_artifact, serialization=_SERIALIZATION)


def _json_schema(
    _class: type, _schema: pydantic_core.core_schema.CoreSchema, handler: pydantic.GetJsonSchemaHandler
) -> pydantic.json_schema.JsonSchemaValue:
    about = {"title": "Artifact", "description": "Media by reference.", "x-heddle-artifact": True}
    if handler.mode == "serialization":
        return {**about, **_OBJECT, "required": ["id", "media_type", "size_bytes"]}
    return {**about, "anyOf": [_ID, {**_OBJECT, "required": ["id"]}]}


def teach_pydantic() -> None:
    """Make artifacts usable in pydantic models and adapters. A second call changes nothing."""
    methods: dict[str, object] = {
        "__get_pydantic_core_schema__": classmethod(_core_schema),
        "__get_pydantic_json_schema__": classmethod(_json_schema),
        # Read where no type is declared (Any, object): without it the record would be taken apart like any dataclass.
        "__pydantic_serializer__": pydantic_core.SchemaSerializer(
            pydantic_core.core_schema.any_schema(serialization=_SERIALIZATION)
        ),
    }
    for name, method in methods.items():
        setattr(artifact.Artifact, name, method)


# At import, the one effect of its kind: a model with an artifact in it is built as soon as its class statement runs.
teach_pydantic()

Artifact = artifact.Artifact


class TypeRefused(ValueError):
    """Say that values of a type cannot be stored, and why."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """Hold one annotation with its adapter and its published schemas."""

    annotation: Any
    adapter: pydantic.TypeAdapter[Any]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]

    def decode(self, encoded: identity.JsonValue) -> Any:
        """Read an encoded value as the annotated type. Raises pydantic.ValidationError."""
        return self.adapter.validate_python(encoding.decode(encoded))

    def encode(self, value: object, *, path: str = "") -> identity.JsonValue:
        """Write a value of the annotated type. Raises pydantic.ValidationError and identity.NotJson."""
        checked = self.adapter.validate_python(value)
        return encoding.encode(self.adapter.dump_python(checked, by_alias=True), path=path)

    def encode_output(self, value: object, *, where: str) -> identity.JsonValue:
        """Write an output. Raises OutputRefused, bad_output or too_large, naming the part of the value."""
        try:
            return _of_stored_size(self.encode(value, path="output"), where=where)
        except pydantic.ValidationError as error:
            raise OutputRefused(_bad_output(where, "; ".join(sentences(error, root="output")))) from error
        except ValueError as error:  # NotJson, and what pydantic says of values it cannot take apart
            raise OutputRefused(_bad_output(where, str(error))) from error


def encode_json_output(value: object, *, where: str) -> identity.JsonValue:
    """Write an output made of JSON values and artifacts alone, for which nobody declared a type.

    Raises OutputRefused, as ``Codec.encode_output`` does. There is nothing in it for pydantic to check.
    """
    try:
        return _of_stored_size(encoding.encode(value, path="output"), where=where)
    except identity.NotJson as error:
        raise OutputRefused(_bad_output(where, str(error))) from error


def _of_stored_size(encoded: identity.JsonValue, *, where: str) -> identity.JsonValue:
    too_large = encoding.oversize(encoded, place="output")
    if too_large is not None:
        raise OutputRefused(faults.StepFault(fault=faults.Fault.TOO_LARGE, message=too_large, where=where))
    return encoded


def _bad_output(where: str, message: str) -> faults.StepFault:
    return faults.StepFault(fault=faults.Fault.BAD_OUTPUT, message=message, where=where)


def codec(annotation: Any) -> Codec:
    """Build the codec of an annotation. Raises TypeRefused when its values cannot be stored."""
    try:
        adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(annotation)
        for reason in _unstorable(adapter.core_schema):
            raise TypeRefused(f"{name_of(annotation)} holds {reason}")
        return Codec(
            annotation=annotation,
            adapter=adapter,
            input_schema=adapter.json_schema(mode="validation"),
            output_schema=adapter.json_schema(mode="serialization"),
        )
    except (pydantic.errors.PydanticSchemaGenerationError, pydantic.errors.PydanticInvalidForJsonSchema) as error:
        raise TypeRefused(f"{name_of(annotation)} has no JSON form; use a dataclass or a pydantic model") from error
    except (pydantic.errors.PydanticUserError, NameError) as error:
        raise TypeRefused(f"{name_of(annotation)} cannot be read as a type: {str(error).splitlines()[0]}") from error


def name_of(annotation: object) -> str:
    """Give an annotation as its author wrote it, near enough to be recognised."""
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__qualname__
    return str(annotation).replace("typing.", "")


def _unstorable(schema: object) -> Iterator[str]:
    pending: list[object] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            kind = node.get("type")
            if isinstance(kind, str) and kind in _UNSTORABLE:
                yield _UNSTORABLE[kind]
            if kind == "dict" and (node.get("keys_schema") or {"type": "any"}).get("type") not in _KEYS:
                yield "a dictionary whose keys are not strings"
            pending.extend(value for key, value in node.items() if key not in _NOT_TYPES)
        elif isinstance(node, list | tuple):
            pending.extend(node)


def location(parts: tuple[str | int, ...], *, root: str = "") -> str:
    """Write where in a value something is: ``scenes[2].name``."""
    text = root
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def errors(error: pydantic.ValidationError, *, root: str = "") -> list[tuple[str, str]]:
    """Give pairs of place and message, in the order of the fields."""
    return [
        (location(detail["loc"], root=root) or "input", detail["msg"].removeprefix("Value error, "))
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def sentences(error: pydantic.ValidationError, *, root: str = "") -> list[str]:
    """Give one sentence for each thing that does not fit, at most eight."""
    return [f"{place}: {message}" for place, message in errors(error, root=root)[:8]]


@functools.lru_cache(maxsize=1)
def anything() -> Codec:
    """Give the codec of values whose type nobody declared: JSON values and artifacts."""
    return codec(Any)
