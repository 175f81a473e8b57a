"""Read a function's signature once, at registration: parameters, codecs, the input model, and every reason to refuse.

Nothing here is asked again while workflows run. Neighbours: ``declare`` asks; ``types`` builds the codecs.
"""

import collections.abc
import dataclasses
import inspect
import re
import types as python_types
import typing
import warnings
from typing import Any

import pydantic

from heddle.core import identity
from heddle.program import types
from heddle.program.fitting import Parameters

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,99}\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Hold what a signature says, or the problems it has."""

    parameters: Parameters
    defaults: dict[str, Any]
    output: types.Codec | None
    problems: list[str]


def name_problems(name: str) -> list[str]:
    """Tell why a name cannot be used in lanes, addresses and messages."""
    if _NAME.match(name):
        return []
    return [f"the name {name!r} is not a letter or _ followed by up to 99 letters, digits, _, - or ."]


def shape_problems(function: object, *, must_be_async: bool) -> list[str]:
    """Tell why something is not a function of the right kind."""
    if not isinstance(function, python_types.FunctionType):
        return [f"it is a {type(function).__name__}; decorate a function"]
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return ["it is a generator (it has a yield); return a list"]
    if must_be_async and not inspect.iscoroutinefunction(function):
        return ["it is not async; write async def"]
    return []


def read(function: collections.abc.Callable[..., Any]) -> Signature:
    """Read a function's parameters and result with all that is wrong about them."""
    problems: list[str] = []
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        hints = {}
        problems.append(f"its annotations cannot be read: {error}")
    signature = inspect.signature(function)
    codecs: dict[str, types.Codec] = {}
    defaults: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        found = _parameter_problem(parameter)
        if found is not None:
            problems.append(found)
            continue
        codec = _codec(hints.get(parameter.name), f"parameter {parameter.name}", problems)
        if codec is None:
            continue
        codecs[parameter.name] = codec
        if parameter.default is not inspect.Parameter.empty:
            defaults[parameter.name] = parameter.default
            problems.extend(_default_problems(parameter, codec))
    output: types.Codec | None = None
    if signature.return_annotation is inspect.Signature.empty:
        problems.append("its result has no annotation; write -> None when there is none")
    elif "return" in hints:
        output = _codec(hints["return"], "the result", problems)
    names = tuple(codecs)
    parameters = Parameters(
        names=names,
        positional=tuple(
            name for name in names if signature.parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        ),
        required=frozenset(names) - defaults.keys(),
        codecs=codecs,
    )
    return Signature(parameters=parameters, defaults=defaults, output=output, problems=problems)


def _parameter_problem(parameter: inspect.Parameter) -> str | None:
    match parameter.kind:
        case inspect.Parameter.VAR_POSITIONAL | inspect.Parameter.VAR_KEYWORD:
            stars = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else "**"
            return f"it takes {stars}{parameter.name}; name every parameter, or take a list or a dict"
        case inspect.Parameter.POSITIONAL_ONLY:
            return f"parameter {parameter.name} is positional-only; arguments are journalled by name"
        case inspect.Parameter.POSITIONAL_OR_KEYWORD | inspect.Parameter.KEYWORD_ONLY:
            pass
    if parameter.annotation is inspect.Parameter.empty:
        return f"parameter {parameter.name} has no annotation"
    if parameter.name.startswith("_"):
        return f"parameter {parameter.name} begins with an underscore; inputs are public"
    return None


def _codec(annotation: object, what: str, problems: list[str]) -> types.Codec | None:
    try:
        return types.codec(annotation)
    except types.TypeRefused as error:
        problems.append(f"{what}: {error}")
        return None


def _default_problems(parameter: inspect.Parameter, codec: types.Codec) -> list[str]:
    try:
        codec.encode(parameter.default)
    except pydantic.ValidationError as error:
        return [f"the default of {parameter.name} does not fit its annotation: {'; '.join(types.sentences(error))}"]
    except identity.NotJson as error:
        return [f"the default of {parameter.name} cannot be stored: {error}"]
    return []


def input_model(name: str, signature: Signature) -> type[pydantic.BaseModel]:
    """Make the pydantic model of a workflow's input: a field per parameter and no other. Raises TypeRefused."""
    fields: dict[str, Any] = {
        parameter: (codec.annotation, signature.defaults.get(parameter, ...))
        for parameter, codec in signature.parameters.codecs.items()
    }
    config = pydantic.ConfigDict(extra="forbid", protected_namespaces=(), title=name)
    try:
        with warnings.catch_warnings():
            # A parameter called "json" or "copy" hides a method of the model that nobody calls.
            warnings.filterwarnings("ignore", message="Field name .* shadows an attribute", category=UserWarning)
            return pydantic.create_model(name, __config__=config, **fields)
    except (NameError, TypeError, ValueError, pydantic.errors.PydanticUserError) as error:
        raise types.TypeRefused(f"its parameters make no input model: {str(error).splitlines()[0]}") from error


def described(function: collections.abc.Callable[..., Any]) -> str:
    """Give the docstring, dedented; empty when there is none."""
    return inspect.getdoc(function) or ""


def record_fields(schema: dict[str, Any]) -> tuple[frozenset[str], frozenset[str]] | None:
    """Give the names and the required names of an object's JSON Schema, None when it is not one with named fields."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        schema = schema.get("$defs", {}).get(reference.rpartition("/")[2], {})
    if "properties" not in schema:
        return None
    return frozenset(schema["properties"]), frozenset(schema.get("required", ()))
