"""Jobs on one's own GPU when workers are killed, answers are lost and the server restarts: the work is done once where
the server still knows it, and anew where it forgot. The referee is the ledger of the twin ``comfyui``.
"""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from heddle.twins.comfyui import twin
from heddle.twins.kit import faults as fates
from heddle.twins.kit import ledger, options, server
from tests.fault import harness, programs

QUICK = fates.Plan(seed=5, latency_s=0.03)
GRAPH: dict[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"seed": "{input.number}", "steps": 20, "cfg": 7}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "shot"}},
    "12": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}},
}
CALLS = 3


class Gpu:
    """A ComfyUI server in a thread of its own, which can be stopped and started again at the same address."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.ledger = folder / "ledger.jsonl"
        self.port = 0
        self.twin: twin.ComfyuiTwin | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._running: server.Running | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, plan: fates.Plan = QUICK) -> None:
        self.twin = twin.ComfyuiTwin(options.Options(ledger=self.ledger, plan=plan, port=self.port))
        self._running = server.Running(self.twin)
        self._done(self._running.__aenter__())
        self.port = int(self._running.url.rpartition(":")[2])

    def stop(self) -> None:
        if self._running is not None:
            self._done(self._running.__aexit__(None, None, None))
            self._running = None

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(programs.WAIT_S)

    def worked(self) -> int:
        """Count the graphs that were taken to be worked on."""
        return ledger.summarise(self.ledger).paid

    def _done(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(programs.WAIT_S)


@contextlib.contextmanager
def gpu_in(folder: pathlib.Path) -> Iterator[Gpu]:
    made = Gpu(folder)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def gpu(tmp_path: pathlib.Path) -> Iterator[Gpu]:
    with gpu_in(tmp_path) as made:
        yield made


def configure(site: harness.Site, gpu: Gpu, folder: pathlib.Path, *, is_paid: bool = False) -> None:
    graph = folder / "graph.json"
    graph.write_text(json.dumps(GRAPH))
    price = f'price_usd = "{programs.PRICE_USD}"\npaid = true' if is_paid else ""
    site.configure(
        f"""
[models.guess]
[endpoints.gpu]
adapter = "comfyui"
url = "{gpu.url}"
timeout_s = 10
graph = "{graph}"
outputs = {{ image = "9", words = "12/text" }}
poll_after_s = 0.05
lookup_bound_s = 0.5
{price}
[scopes.gpu]
concurrency = 10
[[routes]]
model = "guess"
endpoint = "gpu"
"""
    )


@pytest.mark.parametrize(("point", "is_paid"), [("K3", False), ("K4", False), ("K5", False), ("K4", True)])
def test_job_when_its_worker_is_killed_then_the_graph_is_worked_on_once(
    site: harness.Site, gpu: Gpu, tmp_path: pathlib.Path, point: str, is_paid: bool
) -> None:
    gpu.start()
    configure(site, gpu, tmp_path, is_paid=is_paid)
    run_ids = [site.submit("guesses", number=number) for number in range(CALLS)]

    kills = site.finish_under_kills(*run_ids, point=point, kills=1)

    outputs = [site.run(run_id).output for run_id in run_ids]
    assert kills == 1
    assert all(output["words"][0].startswith("a picture of") for output in outputs)
    assert all(output["image"]["media_type"] == "image/png" for output in outputs)
    assert gpu.worked() == CALLS


def test_job_when_its_acceptance_is_cut_off_then_it_is_looked_up_and_worked_on_once(
    site: harness.Site, gpu: Gpu, tmp_path: pathlib.Path
) -> None:
    gpu.start(dataclasses.replace(QUICK, rates=fates.Rates(cut=0.7)))
    configure(site, gpu, tmp_path)
    worker = site.start_worker("living", FAULT_COMPUTE="none")
    run_ids = [site.submit("guesses", number=number) for number in range(12)]

    runs = site.ended(*run_ids)
    worker.kill()

    assert {run.state for run in runs} == {"succeeded"}
    assert gpu.worked() == 12


def test_job_when_the_server_restarts_and_forgets_it_then_it_is_made_anew(
    site: harness.Site, gpu: Gpu, tmp_path: pathlib.Path
) -> None:
    gpu.start(dataclasses.replace(QUICK, latency_s=600.0))
    configure(site, gpu, tmp_path)
    worker = site.start_worker("living", FAULT_COMPUTE="none")
    run_ids = [site.submit("guesses", number=number) for number in range(CALLS)]
    programs.until(lambda: gpu.worked() == CALLS, what="the jobs are accepted")

    gpu.stop()
    gpu.start(QUICK)
    runs = site.ended(*run_ids)
    site.until_quiet()
    worker.kill()

    assert {run.state for run in runs} == {"succeeded"}
    assert gpu.worked() == 2 * CALLS
