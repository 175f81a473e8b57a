"""Hold the twin's models: what each takes and gives, and the work itself, small and always the same.

Pure but for the totals of sequences, which ``twin`` keeps. Before it: ``twin`` with named tensors. After it: ``twin``
with an answer to write.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from heddle.core import identity
from heddle.twins.kserve import tensors

WORDS = ("the", "lamp", "throws", "warm", "light", "on", "marble", "and", "linen")
TOKENS_MAX = 512
SEQUENCES_MAX = 10_000

Totals = MutableMapping[str, int]
Work = Callable[[tensors.Request, Totals], list[tensors.Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """One input or output as metadata tells of it; -1 is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    is_optional: bool = False

    def as_metadata(self) -> dict[str, identity.JsonValue]:
        """Give the form of ``GET /v2/models/{name}``."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}

    def as_config(self) -> dict[str, identity.JsonValue]:
        """Give the form of ``GET /v2/models/{name}/config``."""
        return {"name": self.name, "data_type": f"TYPE_{self.datatype}", "dims": list(self.shape)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model. ``is_decoupled``: it may give many responses to one request, which only a stream carries."""

    name: str
    inputs: tuple[Put, ...]
    outputs: tuple[Put, ...]
    work: Work
    is_decoupled: bool = False
    is_sequential: bool = False

    def check(self, request: tensors.Request) -> None:
        """Refuse missing, unexpected and wrongly shaped inputs. Raises TensorRefused."""
        needed = {put.name: put for put in self.inputs}
        missing = [name for name, put in needed.items() if name not in request.inputs and not put.is_optional]
        if missing:
            count = len(self.inputs)
            raise tensors.TensorRefused(
                f"expected {count} inputs but got {len(request.inputs)} inputs for model '{self.name}'. "
                f"Got input(s) {sorted(request.inputs)}, but missing required input(s) {missing}."
            )
        for name, tensor in request.inputs.items():
            put = needed.get(name)
            if put is None:
                raise tensors.TensorRefused(f"unexpected inference input '{name}' for model '{self.name}'")
            is_fitting = len(tensor.shape) == len(put.shape) and all(
                wanted in (-1, size) for wanted, size in zip(put.shape, tensor.shape, strict=True)
            )
            if not is_fitting:
                raise tensors.TensorRefused(
                    f"unexpected shape for input '{name}' for model '{self.name}'. Expected {_shown(put.shape)}, "
                    f"got {_shown(tensor.shape)}"
                )
            if tensor.datatype != put.datatype:
                raise tensors.TensorRefused(
                    f"inference input '{name}' data-type is '{tensor.datatype}', model '{self.name}' expects "
                    f"'{put.datatype}'"
                )


def words_of(text: str, *, count: int) -> list[str]:
    """Give what the language model answers, word by word, each with the blank before it but the first."""
    start = sum(text.encode()) % len(WORDS)
    chosen = [WORDS[(start + number) % len(WORDS)] for number in range(min(count, TOKENS_MAX))]
    return [word if number == 0 else f" {word}" for number, word in enumerate(chosen)]


def _simple(request: tensors.Request, totals: Totals) -> list[tensors.Tensor]:
    """Add and subtract, as Triton's example model of this name does."""
    first, second = request.inputs["INPUT0"], request.inputs["INPUT1"]
    pairs = list(zip(first.values, second.values, strict=True))
    return [
        _like(first, "OUTPUT0", [left + right for left, right in pairs]),
        _like(first, "OUTPUT1", [left - right for left, right in pairs]),
    ]


def _identity(request: tensors.Request, totals: Totals) -> list[tensors.Tensor]:
    return [tensors.renamed(request.inputs["INPUT0"], "OUTPUT0")]


def _segment(request: tensors.Request, totals: Totals) -> list[tensors.Tensor]:
    """Mark what is darker than the threshold, by the mean of its colours."""
    image = request.inputs["image"]
    threshold = request.inputs["threshold"].values[0] if "threshold" in request.inputs else 0.5
    height, width, _ = image.shape
    values = image.values
    marks = [
        255 if sum(values[index : index + 3]) < threshold * 765 else 0 for index in range(0, height * width * 3, 3)
    ]
    coverage = marks.count(255) / max(1, len(marks))
    return [
        tensors.Tensor(name="mask", datatype="UINT8", shape=(height, width), values=tuple(marks)),
        tensors.Tensor(name="coverage", datatype="FP32", shape=(1,), values=(coverage,)),
    ]


def _accumulate(request: tensors.Request, totals: Totals) -> list[tensors.Tensor]:
    """Add to the sequence's total; the work of a sequence must not be done twice."""
    key = str(request.parameters.get("sequence_id") or "")
    if not key:
        raise tensors.TensorRefused("inference request to model 'accumulator' must specify a non-zero or non-empty ID")
    if request.parameters.get("sequence_start") is True:
        totals[key] = 0
    elif key not in totals:
        raise tensors.TensorRefused(
            f"inference request for sequence {key} to model 'accumulator' must specify the START flag on the first "
            "request of the sequence"
        )
    totals[key] += request.inputs["INPUT"].values[0]
    output = _like(request.inputs["INPUT"], "OUTPUT", [totals[key]])
    if request.parameters.get("sequence_end") is True or len(totals) > SEQUENCES_MAX:
        del totals[key]
    return [output]


def _speak(request: tensors.Request, totals: Totals) -> list[tensors.Tensor]:
    raise tensors.TensorRefused("doesn't support models with decoupled transaction policy")


def _like(tensor: tensors.Tensor, name: str, values: Sequence[identity.JsonValue]) -> tensors.Tensor:
    return tensors.Tensor(name=name, datatype=tensor.datatype, shape=tensor.shape, values=tuple(values))


def _shown(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


_ROW = (1, 16)
MODELS: Mapping[str, Model] = {
    each.name: each
    for each in (
        Model(
            name="simple",
            inputs=(
                Put(name="INPUT0", datatype="INT32", shape=_ROW),
                Put(name="INPUT1", datatype="INT32", shape=_ROW),
            ),
            outputs=(
                Put(name="OUTPUT0", datatype="INT32", shape=_ROW),
                Put(name="OUTPUT1", datatype="INT32", shape=_ROW),
            ),
            work=_simple,
        ),
        Model(
            name="simple_identity",
            inputs=(Put(name="INPUT0", datatype="BYTES", shape=(-1,)),),
            outputs=(Put(name="OUTPUT0", datatype="BYTES", shape=(-1,)),),
            work=_identity,
        ),
        Model(
            name="bf16_identity",
            inputs=(Put(name="INPUT0", datatype="BF16", shape=(-1,)),),
            outputs=(Put(name="OUTPUT0", datatype="BF16", shape=(-1,)),),
            work=_identity,
        ),
        Model(
            name="segmenter",
            inputs=(
                Put(name="image", datatype="UINT8", shape=(-1, -1, 3)),
                Put(name="threshold", datatype="FP32", shape=(1,), is_optional=True),
            ),
            outputs=(
                Put(name="mask", datatype="UINT8", shape=(-1, -1)),
                Put(name="coverage", datatype="FP32", shape=(1,)),
            ),
            work=_segment,
        ),
        Model(
            name="accumulator",
            inputs=(Put(name="INPUT", datatype="INT32", shape=(1,)),),
            outputs=(Put(name="OUTPUT", datatype="INT32", shape=(1,)),),
            work=_accumulate,
            is_sequential=True,
        ),
        Model(
            name="llm",
            inputs=(
                Put(name="text_input", datatype="BYTES", shape=(1,)),
                Put(name="stream", datatype="BOOL", shape=(1,), is_optional=True),
            ),
            outputs=(Put(name="text_output", datatype="BYTES", shape=(1,)),),
            work=_speak,
            is_decoupled=True,
        ),
    )
}
