"""Server-Sent Events are read the same however the body is cut, and within bounds."""

import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heddle.providers import sse

STREAM = (
    b"\xef\xbb\xbf: a comment\n"
    b"data: one\n\n"
    b'event: delta\r\ndata: {"a":\r\ndata:  1}\r\nid: 7\r\n\r\n'
    b"event: nothing\n\n"
    b"retry: 10\rdata\r\r"
    b"data: \xc3\xa4:b\n\n"
    b"data: cut of"
)
EVENTS = [
    sse.Event(name="message", data="one"),
    sse.Event(name="delta", data='{"a":\n 1}', id="7"),
    sse.Event(name="message", data="", id="7"),
    sse.Event(name="message", data="ä:b", id="7"),
]


def test_feed_when_given_whole_then_the_events_of_the_specification() -> None:
    assert sse.Parser().feed(STREAM) == EVENTS


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=20))
def test_feed_when_cut_anywhere_then_the_same_events(places: list[int]) -> None:
    borders = [0, *sorted(places), len(STREAM)]
    parser = sse.Parser()

    found = [event for start, end in itertools.pairwise(borders) for event in parser.feed(STREAM[start:end])]

    assert found == EVENTS


def test_feed_when_an_event_never_ends_then_refused_at_its_bound() -> None:
    parser = sse.Parser(event_bytes_max=100)

    with pytest.raises(sse.StreamRefused, match="100 bytes"):
        [parser.feed(b"data: 789\n") for _ in range(12)]


def test_feed_when_a_line_never_ends_then_refused_at_its_bound() -> None:
    parser = sse.Parser(event_bytes_max=100)

    with pytest.raises(sse.StreamRefused, match="100 bytes"):
        [parser.feed(b"0123456789") for _ in range(11)]


def test_feed_when_there_are_too_many_events_then_refused() -> None:
    parser = sse.Parser(events_max=2)

    with pytest.raises(sse.StreamRefused, match="more events"):
        parser.feed(b"data: x\n\n" * 3)


async def test_events_when_the_body_arrives_in_pieces_then_given_one_by_one() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(STREAM), 3):
            yield STREAM[start : start + 3]

    assert [event async for event in sse.events(chunks())] == EVENTS
