"""Say what is drained: which workflow, how many runs of it, how many calls in each.

Counts are for two cores; `--quick` divides them by twenty. Before it: the command. After it: `bench.drains`.
"""

import dataclasses
from collections.abc import Mapping

QUICK_DIVISOR = 20
FAN_IN_WIDTH = 8
FAN_IN_WORKERS = (8, 16)
FAN_IN_ENDPOINTS = (1, 4, 40)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """``runs`` of a workflow with one input, of ``steps`` calls each; the rate counts steps, or runs.

    ``endpoints``: how many the instant model is deployed at while this is drained.
    """

    name: str
    workflow: str
    input: Mapping[str, int]
    runs: int
    steps: int
    is_counted_in_runs: bool = False
    workers: int = 2
    endpoints: int = 0


def size(full: int, *, is_quick: bool) -> int:
    """Give a count, or its twentieth."""
    return max(1, full // QUICK_DIVISOR) if is_quick else full


def all_shapes(*, is_quick: bool) -> dict[str, Shape]:
    """Give every shape by name, in the order in which a round takes them."""
    calls, one, noop, model = {"calls": 100}, {"calls": 1}, "bench_noop_calls", "bench_model_calls"
    shapes = (
        Shape(name="noop_steps", workflow=noop, input=calls, runs=400, steps=100),
        Shape(
            name="noop_runs", workflow="step:bench_noop", input={"n": 1}, runs=16_000, steps=1, is_counted_in_runs=True
        ),
        Shape(name="noop_workflow_runs", workflow=noop, input=one, runs=8_000, steps=1, is_counted_in_runs=True),
        Shape(name="chain_steps", workflow="bench_chain", input={"n": 1}, runs=4_000, steps=3),
        Shape(
            name="fan_in_steps",
            workflow="bench_fan_in",
            input={"width": FAN_IN_WIDTH},
            runs=1_500,
            steps=FAN_IN_WIDTH + 1,
        ),
        Shape(name="http_steps", workflow=model, input=calls, runs=100, steps=100),
        Shape(
            name="http_runs",
            workflow="model:bench-model",
            input={"seed": 1},
            runs=5_000,
            steps=1,
            is_counted_in_runs=True,
        ),
    )
    every = (*shapes, *_model_fan_ins())
    return {shape.name: dataclasses.replace(shape, runs=size(shape.runs, is_quick=is_quick)) for shape in every}


def _model_fan_ins() -> list[Shape]:
    """Give the fan-ins of model calls: few and many endpoints, each with a limit of its own, and many workers.

    More runs than of the others: with sixteen workers the first seconds go to planning statements, four times in each.
    """
    return [
        Shape(
            name=f"fan_in_{endpoints}_endpoints_{workers}_workers_steps",
            workflow="bench_model_fan_in",
            input={"width": FAN_IN_WIDTH},
            runs=4_000,
            steps=FAN_IN_WIDTH + 1,
            workers=workers,
            endpoints=endpoints,
        )
        for workers in FAN_IN_WORKERS
        for endpoints in FAN_IN_ENDPOINTS
    ]
