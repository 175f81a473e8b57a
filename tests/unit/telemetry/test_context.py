"""Prove that ids are bound where they should be, and that trace headers are read as W3C says."""

import asyncio
import random

import pytest

from heddle.telemetry import context

VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_nothing_is_bound_outside_a_block() -> None:
    assert context.current().bound() == {}


def test_inner_block_adds_and_leaves_what_it_found() -> None:
    with context.bind(run_id="r1", tenant="brand"):
        with context.bind(step=3, attempt=1):
            assert context.current().bound() == {"run_id": "r1", "step": 3, "attempt": 1, "tenant": "brand"}
        assert context.current().bound() == {"run_id": "r1", "tenant": "brand"}
    assert context.current().bound() == {}


def test_activation_binds_ordinal_zero() -> None:
    with context.bind(step=0):
        assert context.current().bound() == {"step": 0}


def test_block_that_raises_leaves_what_it_found() -> None:
    with pytest.raises(KeyError), context.bind(run_id="r1"):
        raise KeyError

    assert context.current() is context.NOTHING


async def test_tasks_at_once_keep_their_own_ids() -> None:
    gate = asyncio.Event()

    async def step(ordinal: int) -> dict[str, str | int]:
        with context.bind(step=ordinal):
            await gate.wait()
            return context.current().bound()

    with context.bind(run_id="r1"):
        tasks = [asyncio.create_task(step(ordinal)) for ordinal in range(3)]
    gate.set()

    assert await asyncio.gather(*tasks) == [{"run_id": "r1", "step": ordinal} for ordinal in range(3)]


def test_traceparent_comes_back_as_it_went() -> None:
    trace = context.parse_traceparent(VALID)

    assert trace is not None
    assert trace.is_sampled
    assert context.format_traceparent(trace) == VALID


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        f"{VALID}-more",
        f"ff{VALID[2:]}",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        VALID.upper(),
        f"{VALID}\n{VALID}",
        "x" * 100_000,
    ],
)
def test_invalid_traceparent_is_none(header: str) -> None:
    assert context.parse_traceparent(header) is None


def test_later_version_is_read_as_far_as_it_is_known() -> None:
    trace = context.parse_traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what-the-future-adds")

    assert trace is not None
    assert not trace.is_sampled


def test_request_continues_its_callers_trace_in_a_span_of_its_own() -> None:
    trace = context.trace_of({"traceparent": VALID}, chance=random.Random(7), is_sampled=False)

    assert trace.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert trace.span_id != "00f067aa0ba902b7"
    assert trace.is_sampled


def test_request_without_header_begins_a_trace_that_is_valid() -> None:
    trace = context.trace_of({}, chance=random.Random(7), is_sampled=True)

    assert context.parse_traceparent(context.format_traceparent(trace)) == trace
