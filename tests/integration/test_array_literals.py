"""PostgreSQL reads the arrays that `store.rows` writes as text, element for element."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis
import psycopg
import pytest
from hypothesis import strategies as st

from heddle.store import rows
from tests import pg

LAW = hypothesis.settings(max_examples=60, derandomize=True, deadline=None)
# What PostgreSQL's text cannot hold at all, NUL and halves of surrogate pairs, is refused at the doors.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12) | st.text(
    '\\"{},NUL l\n\t', max_size=8
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def connection(empty_database: pg.Database) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with empty_database.connect() as opened:
        yield opened


def _read(connection: psycopg.Connection[tuple[Any, ...]], literal: str, kind: str) -> list[Any]:
    """Give the elements in the order in which `unnest` hands them to a statement."""
    statement = f"select x from unnest(%s::{kind}[]) with ordinality as t (x, n) order by n"
    return [row[0] for row in connection.execute(statement, [literal]).fetchall()]


def _filled(values: list[Any]) -> list[Any]:
    """Give what is read of a column: one of nulls alone is left empty, and `unnest` fills it up beside a longer one."""
    return values if any(value is not None for value in values) else []


@LAW
@hypothesis.given(values=st.lists(st.none() | TEXTS, max_size=6))
def test_texts_are_read_back_equal(connection: psycopg.Connection[tuple[Any, ...]], values: list[str | None]) -> None:
    assert _read(connection, rows.text_array(values), "text") == values
    assert _read(connection, rows.array(values), "text") == _filled(values)


@LAW
@hypothesis.given(values=st.lists(JSON, max_size=4))
def test_json_values_are_read_back_equal(connection: psycopg.Connection[tuple[Any, ...]], values: list[Any]) -> None:
    literal = rows.array([rows.dump(value) for value in values])

    assert _read(connection, literal, "jsonb") == json.loads(json.dumps(values))


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        ("bigint", st.integers(-(2**63), 2**63 - 1)),
        ("float8", st.floats(allow_nan=False)),
        ("boolean", st.booleans()),
        ("uuid", st.uuids()),
    ],
)
def test_other_elements_are_read_back_equal(
    connection: psycopg.Connection[tuple[Any, ...]], kind: str, elements: st.SearchStrategy[Any]
) -> None:
    @LAW
    @hypothesis.given(values=st.lists(st.none() | elements, max_size=6))
    def check(values: list[Any]) -> None:
        assert _read(connection, rows.array(values), kind) == _filled(values)

    check()


@LAW
@hypothesis.given(lists=st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4), min_size=1, max_size=4))
def test_ragged_lists_of_ordinals_travel_as_texts_and_are_cast_back(
    connection: psycopg.Connection[tuple[Any, ...]], lists: list[list[int]]
) -> None:
    literal = rows.text_array([rows.int_array(each) for each in lists])

    read = connection.execute(
        "select x::int[] from unnest(%s::text[]) with ordinality as t (x, n) order by n", [literal]
    ).fetchall()

    assert [row[0] for row in read] == lists


def test_an_identifier_looks_the_same_from_both_sides(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    run_id = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad91")

    assert _read(connection, rows.array([run_id]), "uuid") == [run_id]
