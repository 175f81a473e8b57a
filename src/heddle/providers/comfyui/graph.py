"""Read an endpoint's graph and say which of a job's outputs are kept.

A graph is what ComfyUI's "Export (API)" writes: node id → class and inputs, any of them a placeholder of the ``http``
adapter's templates. It is read once, when the endpoint is made. The editor's own form is refused, since the server
would. Before it: the endpoint's options. After it: the adapter with a request to fill in.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Final

from heddle.core import identity
from heddle.providers import options, templates

GRAPH_BYTES_MAX: Final = 8 * 1024**2
NODES_MAX: Final = 5_000
_SELECTOR: Final = re.compile(r"([A-Za-z0-9_:.\-]{1,100})(\[\]|/([A-Za-z0-9_\-]{1,100}))?\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Say what one output is made of: the one file of a node, all its files, or the list under one of its keys."""

    name: str
    node: str
    is_list: bool
    key: str | None


def read(source: options.Options) -> Mapping[str, identity.JsonValue]:
    """Read the option ``graph``, a path or the graph itself. Raises OptionRefused."""
    value = source.value("graph", default=None)
    if value is None:
        raise source.refusal("graph", "is missing; give the path of an exported graph, or the graph itself")
    if isinstance(value, str):
        value = _file(source, value)
    if not isinstance(value, dict) or not value:
        raise source.refusal("graph", "must be an object of nodes")
    if isinstance(value.get("nodes"), list):
        raise source.refusal("graph", 'is of the editor\'s form; export it with "Export (API)"')
    if len(value) > NODES_MAX:
        raise source.refusal("graph", f"has {len(value)} nodes; at most {NODES_MAX} are taken")
    for node, told in value.items():
        is_node = isinstance(told, dict) and isinstance(told.get("class_type"), str)
        if not is_node or not isinstance(told.get("inputs"), dict):
            raise source.refusal("graph", f"has the node {str(node)[:80]!r} without class_type and inputs")
    if trouble := templates.body_trouble(value, path="graph"):
        raise source.refusal("graph", f"is no template: {trouble}")
    return value


def read_outputs(source: options.Options, graph: Mapping[str, identity.JsonValue]) -> tuple[Selector, ...]:
    """Read the option ``outputs``: name → ``NODE``, ``NODE[]`` or ``NODE/key``. Raises OptionRefused."""
    selectors = []
    for name, value in source.table("outputs").items():
        match = _SELECTOR.match(value) if isinstance(value, str) else None
        if match is None:
            raise source.refusal(f"outputs.{name}", f"is {value!r}; it must be NODE, NODE[] or NODE/key")
        if match[1] not in graph:
            raise source.refusal(f"outputs.{name}", f"names the node {match[1]!r}, which the graph has not")
        selectors.append(Selector(name=name, node=match[1], is_list=match[2] == "[]", key=match[3]))
    return tuple(selectors)


def _file(source: options.Options, path: str) -> identity.JsonValue:
    place = pathlib.Path(path)
    try:
        if place.stat().st_size > GRAPH_BYTES_MAX:
            raise source.refusal("graph", f"is {path!r}, a file larger than {GRAPH_BYTES_MAX} bytes")
        return json.loads(place.read_bytes().decode("utf-8"))
    except OSError as error:
        raise source.refusal("graph", f"is {path!r}, which cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, options.OptionRefused):
            raise
        raise source.refusal("graph", f"is {path!r}, which is not JSON: {str(error)[:120]}") from None
