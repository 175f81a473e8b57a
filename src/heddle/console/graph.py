"""Lay out the calls of a run as a graph from left to right: who takes values from whom, what was planned when.

Pure: keys, parents and waves in, coordinates out. Layers by longest path, order within a layer by the mean place of the
neighbours (Sugiyama, Tagawa and Toda 1981, with a bounded number of sweeps), long edges bent through the layers they
cross. It knows no step; the page gives nodes their looks.
"""

import collections
import dataclasses
import itertools
from collections.abc import Mapping, Sequence

NODE_WIDTH = 176
NODE_HEIGHT = 56
GAP_X = 52
GAP_Y = 18
BEND_HEIGHT = 10
MARGIN = 12
SWEEPS = 6
BENDS_MAX = 2_000
"""Most bends drawn; in a graph with more, long edges go straight."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Name one call.

    ``parents`` are the calls it takes values from; ``wave`` counts the activations that planned calls, from 0.
    """

    key: int
    parents: tuple[int, ...] = ()
    wave: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Put one node: its upper left corner in pixels, and the layer it is in."""

    key: int
    x: float
    y: float
    layer: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Draw one edge: ``path`` is the data of an SVG path, from the source's right side to the target's left."""

    source: int
    target: int
    path: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Hold a whole drawing, its size in pixels."""

    places: tuple[Place, ...]
    edges: tuple[Edge, ...]
    width: float
    height: float


_Item = tuple[int, int, int]  # A node as (key, 0, 0); a bend of an edge as (source, target, layer).


def lay_out(nodes: Sequence[Node]) -> Layout:
    """Lay out nodes given in order of their keys; parents that are not among the nodes before are left out."""
    layer_of = _layers(nodes)
    links = [
        (parent, node.key) for node in nodes for parent in node.parents if parent in layer_of and parent < node.key
    ]
    chains = _chains(links, layer_of)
    rows = _rows(nodes, layer_of, chains)
    neighbours = _neighbours(chains)
    _untangle(rows, neighbours)
    top_of = _tops(rows, neighbours)
    places = tuple(
        Place(key=node.key, x=_x(layer_of[node.key]), y=top_of[(node.key, 0, 0)], layer=layer_of[node.key])
        for node in nodes
    )
    edges = tuple(
        Edge(source=source, target=target, path=_path(chain, layer_of, top_of))
        for (source, target), chain in zip(links, chains, strict=True)
    )
    width = _x(max(layer_of.values(), default=0)) + NODE_WIDTH + MARGIN
    height = max((place.y for place in places), default=0.0) + NODE_HEIGHT + MARGIN
    return Layout(places=places, edges=edges, width=width, height=max(height, *(top_of.values() or (0.0,)), 0.0))


def _layers(nodes: Sequence[Node]) -> dict[int, int]:
    """Give each node the layer after its parents, and none that an earlier wave has used: later stands to the right."""
    layer_of: dict[int, int] = {}
    first, wave, last = 0, 0, -1
    for node in nodes:
        if node.wave != wave:
            wave, first = node.wave, last + 1
        after_parents = max((layer_of[parent] + 1 for parent in node.parents if parent in layer_of), default=0)
        layer_of[node.key] = max(first, after_parents)
        last = max(last, layer_of[node.key])
    return layer_of


def _chains(links: Sequence[tuple[int, int]], layer_of: Mapping[int, int]) -> list[list[_Item]]:
    """Write each edge as the items it passes: source, one bend for each layer it crosses, target."""
    crossed = sum(layer_of[target] - layer_of[source] - 1 for source, target in links)
    is_bent = crossed <= BENDS_MAX
    return [
        [
            (source, 0, 0),
            *((source, target, layer) for layer in range(layer_of[source] + 1, layer_of[target]) if is_bent),
            (target, 0, 0),
        ]
        for source, target in links
    ]


def _rows(nodes: Sequence[Node], layer_of: Mapping[int, int], chains: Sequence[Sequence[_Item]]) -> list[list[_Item]]:
    rows: list[list[_Item]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for node in nodes:
        rows[layer_of[node.key]].append((node.key, 0, 0))
    for chain in chains:
        for bend in chain[1:-1]:
            rows[bend[2]].append(bend)
    return rows


def _neighbours(chains: Sequence[Sequence[_Item]]) -> dict[_Item, tuple[list[_Item], list[_Item]]]:
    """Give each item the items before and after it on its edges."""
    found: dict[_Item, tuple[list[_Item], list[_Item]]] = collections.defaultdict(lambda: ([], []))
    for chain in chains:
        for before, after in itertools.pairwise(chain):
            found[before][1].append(after)
            found[after][0].append(before)
    return found


def _untangle(rows: list[list[_Item]], neighbours: Mapping[_Item, tuple[list[_Item], list[_Item]]]) -> None:
    """Order each layer by where its neighbours stand, to and fro; sorting is stable, so equal ones keep their order."""
    for sweep in range(SWEEPS):
        side = sweep % 2
        for row in rows if side == 0 else reversed(rows):
            index_of = {item: index for each in rows for index, item in enumerate(each)} if len(row) > 1 else {}
            if index_of:
                row.sort(key=lambda item: _mean([index_of[other] for other in neighbours[item][side]], index_of[item]))


def _tops(
    rows: Sequence[Sequence[_Item]], neighbours: Mapping[_Item, tuple[list[_Item], list[_Item]]]
) -> dict[_Item, float]:
    """Pull each item towards its neighbours without overlap, layer by layer, to and fro."""
    top_of: dict[_Item, float] = {}
    for row in rows:
        top = 0.0
        for item in row:
            top_of[item] = top
            top += _height(item) + GAP_Y
    for sweep in range(SWEEPS):
        side = sweep % 2
        for row in rows if side == 0 else reversed(rows):
            wanted = [
                _mean(
                    [top_of[other] + _height(other) / 2 for other in neighbours[item][side]],
                    top_of[item] + _height(item) / 2,
                )
                - _height(item) / 2
                for item in row
            ]
            _spread(row, wanted, top_of)
    least = min(top_of.values(), default=0.0)
    return {item: top - least + MARGIN for item, top in top_of.items()}


def _spread(row: Sequence[_Item], wanted: Sequence[float], top_of: dict[_Item, float]) -> None:
    floor = float("-inf")
    for item, top in zip(row, wanted, strict=True):
        top_of[item] = max(top, floor)
        floor = top_of[item] + _height(item) + GAP_Y
    # Pushing only downwards would let every layer sink; the row as a whole goes back to where it wanted to be.
    drift = _mean([top_of[item] - top for item, top in zip(row, wanted, strict=True)], 0.0)
    for item in row:
        top_of[item] -= drift


def _path(chain: Sequence[_Item], layer_of: Mapping[int, int], top_of: Mapping[_Item, float]) -> str:
    points: list[tuple[float, float]] = []
    for item in chain:
        middle = top_of[item] + _height(item) / 2
        is_node = item[1:] == (0, 0)
        left = _x(layer_of[item[0]] if is_node else item[2])
        points.extend([(left, middle), (left + NODE_WIDTH, middle)])
    drawn = [f"M{points[1][0]:g} {points[1][1]:.1f}"]
    x, y = points[1]
    for next_x, next_y in points[2:-1]:
        half = (next_x - x) / 2
        drawn.append(f"C{x + half:g} {y:.1f} {next_x - half:g} {next_y:.1f} {next_x:g} {next_y:.1f}")
        x, y = next_x, next_y
    return "".join(drawn)


def _height(item: _Item) -> float:
    return NODE_HEIGHT if item[1:] == (0, 0) else BEND_HEIGHT


def _x(layer: int) -> float:
    return MARGIN + layer * (NODE_WIDTH + GAP_X)


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise
