"""Read the options of an endpoint of the ``kserve`` adapter.

Every mistake is one sentence that names the endpoint and the key. It speaks to nobody. Before it: the registry with a
configured endpoint. After it: ``adapter``, ``parameters`` and ``generation``.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

from heddle.core import identity, run
from heddle.ports import provider
from heddle.providers import options
from heddle.providers.kserve import tensors

RESPONSE_BYTES_MAX: Final = 256 * 1024**2
MODELS_MAX: Final = 64
PRIORITY_MAX: Final = 2**32
# Set by the adapter, or kept by the server for itself (Triton, extension_parameters.md).
_RESERVED: Final = frozenset(
    {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "binary_data_output", "headers"}
)
_RESERVED_PREFIX: Final = "triton_"


class Operation(enum.StrEnum):
    """Name what is called."""

    INFER = "infer"
    GENERATE = "generate"
    GENERATE_STREAM = "generate_stream"


class OutputMedia(enum.StrEnum):
    """Name what becomes of an output tensor that is a picture: of pixels, or one PNG file in a BYTES tensor."""

    NONE = "none"  # nested lists, as for every other tensor
    PNG = "image/png"  # an artifact


class StreamText(enum.StrEnum):
    """Name what the text in each event of a stream is."""

    PIECE = "piece"  # what comes next
    WHOLE = "whole"  # all of it so far


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InputTensor:
    """Say how one input is sent: the tensor's name, and datatype and shape where they are not to be inferred."""

    tensor: str
    datatype: str | None
    shape: tuple[int, ...] | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Name the inputs that say to which sequence a request belongs, and whether it begins or ends it."""

    id: str
    start: str
    end: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    operation: Operation
    model_name: str | None
    model_version: str | None
    models: tuple[str, ...]
    is_binary: bool
    inputs: Mapping[str, InputTensor]
    outputs: Mapping[str, str]
    output_media: OutputMedia
    parameters: Mapping[str, identity.JsonValue]
    priorities: Mapping[run.Priority, int]
    has_timeout: bool
    sequence: Sequence | None
    stream_text: StreamText
    is_paid: bool
    response_bytes_max: int


def read(config: provider.EndpointConfig) -> Terms:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    terms = Terms(
        operation=source.choice("operation", default=Operation.INFER),
        model_name=source.text("model_name", default="") or None,
        model_version=source.text("model_version", default="") or None,
        models=source.strings("models"),
        is_binary=source.flag("binary", default=True),
        inputs={name: _input(source, name, value) for name, value in source.table("inputs").items()},
        outputs=_outputs(source),
        output_media=source.choice("output_media", default=OutputMedia.NONE),
        parameters=_parameters(source),
        priorities=_priorities(source),
        has_timeout=source.flag("send_timeout", default=False),
        sequence=_sequence(source),
        stream_text=source.choice("stream_text", default=StreamText.PIECE),
        is_paid=source.flag("paid", default=False),
        response_bytes_max=int(
            source.number("response_bytes_max", default=RESPONSE_BYTES_MAX, low=1_024, high=1024**3, unit="bytes")
        ),
    )
    source.end()
    _check(source, terms)
    return terms


def _check(source: options.Options, terms: Terms) -> None:
    """Refuse options that do not go together."""
    if len(terms.models) > MODELS_MAX:
        raise source.refusal("models", f"names {len(terms.models)} models; at most {MODELS_MAX} are asked for")
    if terms.sequence is not None and not terms.is_paid:
        raise source.refusal(
            "sequence", "needs paid = true: sent twice, a request moves its sequence twice, so none is repeated blindly"
        )
    if terms.operation is Operation.INFER:
        return
    for key, is_given in (
        ("priorities", bool(terms.priorities)),
        ("send_timeout", terms.has_timeout),
        ("sequence", terms.sequence is not None),
        ("output_media", terms.output_media is not OutputMedia.NONE),
    ):
        if is_given:
            raise source.refusal(key, 'goes only with operation = "infer"; /generate does not read it')


def _input(source: options.Options, name: str, value: object) -> InputTensor:
    if not isinstance(value, dict) or set(value) - {"tensor", "datatype", "shape"}:
        raise source.refusal(f"inputs.{name}", "must be a table of tensor, datatype and shape, each optional")
    tensor, datatype, shape = value.get("tensor", name), value.get("datatype"), value.get("shape")
    if not isinstance(tensor, str) or not tensor:
        raise source.refusal(f"inputs.{name}.tensor", f"is {tensor!r}; it must be a name")
    if datatype is not None and datatype not in tensors.DATATYPES:
        raise source.refusal(f"inputs.{name}.datatype", f"is {datatype!r}; it must be one of {_DATATYPES}")
    if shape is not None and (not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape)):
        raise source.refusal(f"inputs.{name}.shape", f"is {shape!r}; it must be a list of whole numbers above 0")
    return InputTensor(tensor=tensor, datatype=datatype, shape=None if shape is None else tuple(shape))


_DATATYPES = ", ".join(sorted(tensors.DATATYPES))


def _outputs(source: options.Options) -> Mapping[str, str]:
    outputs = source.table("outputs")
    for tensor, name in outputs.items():
        if not isinstance(name, str) or not name:
            raise source.refusal(f"outputs.{tensor}", f"is {name!r}; it must be the name the output gets")
    return outputs


def _parameters(source: options.Options) -> Mapping[str, identity.JsonValue]:
    parameters = source.table("parameters")
    for name, value in parameters.items():
        if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
            raise source.refusal(f"parameters.{name}", "is not for custom use; see priorities, send_timeout, sequence")
        if not isinstance(value, str | bool | int | float):
            raise source.refusal(f"parameters.{name}", f"is {value!r}; it must be a text, a number, true or false")
    return parameters


def _priorities(source: options.Options) -> Mapping[run.Priority, int]:
    found: dict[run.Priority, int] = {}
    for name, value in source.table("priorities").items():
        if name not in set(run.Priority):
            raise source.refusal(f"priorities.{name}", f"is no class; they are {', '.join(run.Priority)}")
        if type(value) is not int or not 1 <= value <= PRIORITY_MAX:
            raise source.refusal(f"priorities.{name}", f"is {value!r}; it must be 1 (served first) to {PRIORITY_MAX}")
        found[run.Priority(name)] = value
    return found


def _sequence(source: options.Options) -> Sequence | None:
    table = source.table("sequence")
    if not table:
        return None
    names = {key: table.get(key) for key in ("id", "start", "end")}
    if set(table) != set(names) or not all(isinstance(name, str) and name for name in names.values()):
        raise source.refusal("sequence", "must name the inputs that are id, start and end")
    return Sequence(id=str(names["id"]), start=str(names["start"]), end=str(names["end"]))
