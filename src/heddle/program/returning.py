"""Hold a returned value made of calls to the type the workflow declares.

A call's result is checked against the call's own type when it comes; where that type is the declared one, nothing is
left to check and the run ends with its last call. Where it is another, or none is declared, the function waits for the
calls it returns, like at an await, and its value is checked as a whole. Neighbours: the driver asks at the return, the
activation knows how the calls stand.
"""

import collections.abc
import types as python_types
import typing
from typing import Any

import pydantic

from heddle.core import faults, identity, plan
from heddle.program import activation, call, encoding, types
from heddle.program.definitions import WorkflowDefinition

_LISTS = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_DICTS = (dict, collections.abc.Mapping)
_PLAIN = (str, int, float, bool, python_types.NoneType)


def ending(
    definition: WorkflowDefinition,
    running: activation.Activation,
    value: object,
    *,
    shape: identity.JsonValue,
    refs: tuple[int, ...],
) -> plan.Ending:
    """Give the ending of a function that returned a value with calls in it."""
    returned = plan.Returned(shape=shape, refs=refs)
    if is_proven(definition.output.annotation, value):
        return returned
    running.is_leaving = True
    waited = running.outputs_of(refs)
    if waited is None:
        return returned
    if not isinstance(waited, dict):
        return waited
    fault = _misfit(definition, shape, waited)
    return returned if fault is None else plan.Raised(fault=fault)


def _misfit(
    definition: WorkflowDefinition, shape: identity.JsonValue, outputs: dict[int, identity.JsonValue]
) -> faults.StepFault | None:
    try:
        resolved = plan.resolve(shape, outputs.__getitem__)
        definition.output.adapter.validate_python(encoding.decode(resolved))
    except plan.ProjectionMissing as error:
        message = str(error)
    except pydantic.ValidationError as error:
        named = types.name_of(definition.output.annotation)
        message = f"the value is no {named}: " + "; ".join(types.sentences(error, root="output"))
    else:
        return None
    return faults.StepFault(fault=faults.Fault.BAD_OUTPUT, message=message[:2_000], where=f"workflow {definition.name}")


def is_proven(annotation: Any, value: object) -> bool:
    """Tell whether a value fits a type by the types of the calls in it alone. False: it has to be looked at."""
    if annotation is Any or annotation is object:
        return True
    if type(value) is call.Call and not call.path_of(value):
        codec = getattr(call.decode_of(value), "__self__", None)
        if isinstance(codec, types.Codec) and _is_same(codec.annotation, annotation):
            return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, python_types.UnionType):
        return any(is_proven(argument, value) for argument in arguments)
    if isinstance(value, list | tuple):
        is_uniform = origin in _LISTS and (len(arguments) == 1 or arguments[1:] == (...,))
        if origin is tuple and not is_uniform:
            return len(arguments) == len(value) and all(map(is_proven, arguments, value))
        return is_uniform and all(is_proven(arguments[0], item) for item in value)
    if isinstance(value, dict):
        is_dict = origin in _DICTS and len(arguments) == 2 and arguments[0] is str
        return is_dict and all(type(key) is str and is_proven(arguments[1], item) for key, item in value.items())
    return annotation in _PLAIN and type(value) is annotation


def _is_same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - annotations are any objects, and may be compared in any way
        return False
