"""Check a graph as ComfyUI does, and say what a run of it leaves behind.

A few dozen lines of the real thing's rules: classes must be known, required inputs given and in range, pictures there
to be loaded, and something must come out. Pure. Source: ComfyUI execution.py ``validate_prompt`` (read 2026-11-29).
Before it: ``twin`` with a submission. After it: ``queue``.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heddle.core import identity
from heddle.twins.kit import media


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One required input: its type, and for numbers the range."""

    kind: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One class of nodes; ``output_key`` is set when a run of it leaves something: images, gifs, text."""

    inputs: Mapping[str, Input]
    output_key: str | None = None
    is_temporary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What checking a graph gave: why it is refused, else None; what is wrong with nodes; the outputs that will run."""

    error: Mapping[str, identity.JsonValue] | None
    node_errors: Mapping[str, identity.JsonValue]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One file of a run."""

    filename: str
    subfolder: str
    type: str
    data: bytes

    def as_json(self) -> dict[str, identity.JsonValue]:
        """Give the form in which outputs name files."""
        return {"filename": self.filename, "subfolder": self.subfolder, "type": self.type}


_LINK = Input(kind="LINK")
_TEXT = Input(kind="STRING")
NODES: Mapping[str, Node] = {
    "CheckpointLoaderSimple": Node(inputs={"ckpt_name": _TEXT}),
    "CLIPTextEncode": Node(inputs={"text": _TEXT, "clip": _LINK}),
    "EmptyLatentImage": Node(
        inputs={
            "width": Input(kind="INT", low=16, high=16_384),
            "height": Input(kind="INT", low=16, high=16_384),
            "batch_size": Input(kind="INT", low=1, high=4_096),
        }
    ),
    "KSampler": Node(
        inputs={
            "seed": Input(kind="INT", low=0, high=2**64 - 1),
            "steps": Input(kind="INT", low=1, high=10_000),
            "cfg": Input(kind="FLOAT", low=0.0, high=100.0),
        }
    ),
    "VAEDecode": Node(inputs={"samples": _LINK}),
    "LoadImage": Node(inputs={"image": _TEXT}),
    "SaveImage": Node(inputs={"images": _LINK, "filename_prefix": _TEXT}, output_key="images"),
    "PreviewImage": Node(inputs={"images": _LINK}, output_key="images", is_temporary=True),
    "VHS_VideoCombine": Node(inputs={"images": _LINK, "filename_prefix": _TEXT}, output_key="gifs"),
    "PreviewAny": Node(inputs={"source": _LINK}, output_key="text"),
}


def check(graph: identity.JsonValue, *, has_input: Callable[[str], bool]) -> Checked:
    """Check a graph; has_input tells whether an input file is there."""
    if not isinstance(graph, dict):
        return _refused("invalid_prompt", "Cannot execute because the prompt is no object.", "")
    for node_id, told in graph.items():
        kind = told.get("class_type") if isinstance(told, dict) else None
        if kind is None:
            message = "Cannot execute because a node is missing the class_type property."
            return _refused("invalid_prompt", message, f"Node ID '#{node_id}'")
        if kind not in NODES:
            return _refused("missing_node_type", f"Node '{kind}' not found.", f"Node ID '#{node_id}'")
    outputs = [node_id for node_id, told in graph.items() if NODES[told["class_type"]].output_key is not None]
    if not outputs:
        return _refused("prompt_no_outputs", "Prompt has no outputs", "")
    found = {node_id: errors for node_id in graph if (errors := _errors(graph, node_id, has_input))}
    node_errors: dict[str, identity.JsonValue] = {}
    good = []
    for output in outputs:
        bad = sorted(_upstream(graph, output) & set(found))
        if not bad:
            good.append(output)
        for node_id in bad:
            told = node_errors.setdefault(
                node_id,
                {"errors": found[node_id], "dependent_outputs": [], "class_type": graph[node_id]["class_type"]},
            )
            told["dependent_outputs"].append(output)
    if not good:
        error = _error("prompt_outputs_failed_validation", "Prompt outputs failed validation", "")
        return Checked(error=error, node_errors=node_errors, outputs=())
    return Checked(error=None, node_errors=node_errors, outputs=tuple(good))


def run(
    graph: Mapping[str, identity.JsonValue], outputs: tuple[str, ...], *, number: int
) -> tuple[dict[str, identity.JsonValue], list[Saved]]:
    """Give what a run of a graph leaves behind: the outputs by node, and the files they name."""
    seed = hashlib.sha256(json.dumps(graph, sort_keys=True).encode()).hexdigest()
    told: dict[str, identity.JsonValue] = {}
    files: list[Saved] = []
    for node_id in outputs:
        node = NODES[graph[node_id]["class_type"]]
        if node.output_key == "text":
            told[node_id] = {"text": [f"a picture of {seed[:12]}"]}
            continue
        is_video = node.output_key == "gifs"
        prefix = str(graph[node_id]["inputs"].get("filename_prefix", "ComfyUI_temp"))
        folder, _, stem = prefix.rpartition("/")
        saved = Saved(
            filename=f"{stem}_{number:05}_.{'mp4' if is_video else 'png'}",
            subfolder=folder,
            type="temp" if node.is_temporary else "output",
            data=media.mp4(seed) if is_video else media.png(seed),
        )
        files.append(saved)
        told[node_id] = {str(node.output_key): [saved.as_json()]}
    return told, files


def _errors(
    graph: Mapping[str, identity.JsonValue], node_id: str, has_input: Callable[[str], bool]
) -> list[identity.JsonValue]:
    told = graph[node_id]
    given = told.get("inputs", {})
    found: list[identity.JsonValue] = []
    for name, wanted in NODES[told["class_type"]].inputs.items():
        if name not in given:
            found.append(_error("required_input_missing", "Required input is missing", name))
        elif not isinstance(given[name], list):
            found.extend(_value_errors(name, given[name], wanted))
        elif len(given[name]) != 2 or given[name][0] not in graph:
            found.append(_error("bad_linked_input", "Bad linked input, must be a length-2 list", name))
    name = given.get("image")
    if told["class_type"] == "LoadImage" and isinstance(name, str) and not has_input(name):
        found.append(
            _error("custom_validation_failed", "Custom validation failed for node", f"image - Invalid file: {name}")
        )
    return found


def _value_errors(name: str, value: identity.JsonValue, wanted: Input) -> list[identity.JsonValue]:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if wanted.kind in ("INT", "FLOAT") and number is None:
        details = f"{name}, {value}, could not convert to {wanted.kind}"
        return [_error("invalid_input_type", f"Failed to convert an input value to a {wanted.kind} value", details)]
    if wanted.kind == "LINK":
        return [_error("bad_linked_input", "Bad linked input, must be a length-2 list", name)]
    if number is not None and wanted.low is not None and number < wanted.low:
        return [_error("value_smaller_than_min", f"Value {number} smaller than min of {wanted.low}", name)]
    if number is not None and wanted.high is not None and number > wanted.high:
        return [_error("value_bigger_than_max", f"Value {number} bigger than max of {wanted.high}", name)]
    return []


def _upstream(graph: Mapping[str, identity.JsonValue], output: str) -> set[str]:
    """Name the nodes that an output depends on, itself included."""
    found: set[str] = set()
    waiting = [output]
    while waiting:
        node_id = waiting.pop()
        if node_id in found or node_id not in graph:
            continue
        found.add(node_id)
        inputs = graph[node_id].get("inputs", {}).values()
        waiting.extend(str(value[0]) for value in inputs if isinstance(value, list) and len(value) == 2)
    return found


def _refused(kind: str, message: str, details: str) -> Checked:
    return Checked(error=_error(kind, message, details), node_errors={}, outputs=())


def _error(kind: str, message: str, details: str) -> dict[str, identity.JsonValue]:
    return {"type": kind, "message": message, "details": details, "extra_info": {}}
