"""The layout of the graph: layers follow edges and waves, nothing overlaps, every edge ends at its calls."""

import hypothesis
from hypothesis import strategies

from heddle.console import graph


def place_of(layout: graph.Layout, key: int) -> graph.Place:
    return next(place for place in layout.places if place.key == key)


@strategies.composite
def runs(draw: strategies.DrawFn) -> list[graph.Node]:
    """Draw the calls of a run: parents come before, waves never go back."""
    count = draw(strategies.integers(0, 25))
    waves = sorted(draw(strategies.lists(strategies.integers(0, 3), min_size=count, max_size=count)))
    return [
        graph.Node(
            key=key,
            wave=waves[key - 1],
            parents=tuple(sorted(draw(strategies.sets(strategies.integers(1, key - 1), max_size=4))))
            if key > 1
            else (),
        )
        for key in range(1, count + 1)
    ]


def test_layout_when_there_is_nothing_then_it_is_empty() -> None:
    layout = graph.lay_out([])

    assert (layout.places, layout.edges) == ((), ())


def test_layout_when_calls_fan_out_and_in_then_layers_follow_the_edges() -> None:
    nodes = [
        graph.Node(key=1),
        *(graph.Node(key=key, parents=(1,)) for key in (2, 3, 4)),
        graph.Node(key=5, parents=(2, 3, 4)),
    ]

    layout = graph.lay_out(nodes)

    assert [place.layer for place in layout.places] == [0, 1, 1, 1, 2]
    assert place_of(layout, 1).y == place_of(layout, 3).y == place_of(layout, 5).y


def test_layout_when_planned_later_then_it_stands_to_the_right_without_an_edge() -> None:
    layout = graph.lay_out([graph.Node(key=1), graph.Node(key=2, parents=(1,)), graph.Node(key=3, wave=1)])

    assert place_of(layout, 3).layer == 2


def test_layout_when_a_parent_is_not_among_the_nodes_then_its_edge_is_left_out() -> None:
    layout = graph.lay_out([graph.Node(key=7, parents=(3,))])

    assert layout.edges == ()


def test_layout_when_an_edge_is_long_then_it_passes_between_the_calls() -> None:
    nodes = [graph.Node(key=1), graph.Node(key=2, parents=(1,)), graph.Node(key=3, parents=(1, 2))]

    layout = graph.lay_out(nodes)

    long = next(edge for edge in layout.edges if (edge.source, edge.target) == (1, 3))
    middle = place_of(layout, 2)
    heights = [float(point.split(" ")[1]) for point in long.path.replace("M", "C").split("C")[1:2]]
    assert long.path.count("C") == 3
    assert all(not middle.y < height < middle.y for height in heights)


@hypothesis.given(runs())
def test_layout_when_any_run_is_drawn_then_nothing_overlaps_and_edges_go_right(nodes: list[graph.Node]) -> None:
    layout = graph.lay_out(nodes)

    assert [place.key for place in layout.places] == [node.key for node in nodes]
    for place in layout.places:
        assert place.x >= 0
        assert place.y >= 0
        assert place.x + graph.NODE_WIDTH <= layout.width
        assert place.y + graph.NODE_HEIGHT <= layout.height
    for one in layout.places:
        for other in layout.places:
            if one.key < other.key and one.layer == other.layer:
                assert abs(one.y - other.y) >= graph.NODE_HEIGHT
    for edge in layout.edges:
        assert place_of(layout, edge.source).layer < place_of(layout, edge.target).layer
    assert graph.lay_out(nodes) == layout
