"""Measure the door and the way to the first step: submit rates, and the time from submit to start on an idle house.

Submissions go through the public client on Django's connection, one process, one thread. Start is when the step's own
code runs in a worker, told by this machine's clock, which both processes read.
"""

import random
import statistics
import time

from bench import drains
from bench.figures import Figure, Unit
from bench.house import House

BATCH = 500
WAIT_S = 10.0
PAUSE_LEAST_S = 0.02
PAUSE_MOST_S = 0.12
WARM_UP = 20
SEED = 20


def rates(house: House, *, singles: int, batched: int) -> list[Figure]:
    """Submit one-step runs, each in a transaction of its own, then in batches of 500; no worker runs."""
    from heddle import wiring
    from heddle.client import RunRequest

    house.empty()
    client = wiring.client()
    owner = client.tenant("default")
    started_s = time.perf_counter()
    for _ in range(singles):
        client.submit("bench_noop_calls", {"calls": 1}, tenant=owner)
    single_s = time.perf_counter() - started_s
    request = RunRequest(workflow="bench_noop_calls", input={"calls": 1})
    started_s = time.perf_counter()
    for start in range(0, batched, BATCH):
        client.submit_many([request] * min(BATCH, batched - start), tenant=owner)
    batch_s = time.perf_counter() - started_s
    return [
        Figure(name="submit_single_per_s", value=singles / single_s, unit=Unit.PER_S),
        Figure(name="submit_batch_per_s", value=batched / batch_s, unit=Unit.PER_S),
    ]


def start_latency(house: House, *, samples: int, workflow: str, name: str) -> list[Figure]:
    """Submit one run at a time to two idle workers: time from the call of submit, and from its return (commit and
    doorbell), to the first line of the step. Raises DrainFailed when one is not over in 10 s.

    workflow: what is started, a step by itself or a workflow with one. name: of the figures.
    """
    from heddle import wiring

    house.empty()
    client = wiring.client()
    owner = client.tenant("default")
    rng = random.Random(SEED)
    calls_s: list[float] = []
    commits_s: list[float] = []
    with house.workers():
        for sample in range(samples + WARM_UP):
            time.sleep(rng.uniform(PAUSE_LEAST_S, PAUSE_MOST_S))
            submitted_s = time.time()
            run_id = client.submit(workflow, {}, tenant=owner).run.id
            committed_s = time.time()
            view = client.wait(run_id, timeout_s=WAIT_S, tenant=owner)
            if not isinstance(view.output, float):
                raise drains.DrainFailed(f"run {run_id} is {view.state} after at most {WAIT_S:g} s; {view.error}")
            if sample >= WARM_UP:
                calls_s.append(view.output - submitted_s)
                commits_s.append(view.output - committed_s)
    return [*latencies(name, commits_s), *latencies(f"submit_to_{name}", calls_s)]


def latencies(name: str, seconds: list[float]) -> list[Figure]:
    """Give the median and the 99th percentile of times."""
    parts = statistics.quantiles(seconds, n=100, method="inclusive")
    return [
        Figure(name=f"{name}_p50_ms", value=parts[49] * 1000, unit=Unit.MILLISECONDS),
        Figure(name=f"{name}_p99_ms", value=parts[98] * 1000, unit=Unit.MILLISECONDS),
    ]
