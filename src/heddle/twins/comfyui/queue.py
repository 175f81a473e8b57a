"""Keep a twin's queue, its history and its files, all in memory as ComfyUI does: a restart forgets them.

One task works on one job at a time, lowest number first. How long a job takes and whether it fails was decided when it
was submitted. Between two awaits nothing else runs, and that is the only lock. Before it: ``twin`` with a checked
graph. After it: ``graphs``, which says what a run leaves behind, and ``news``, which tells of it.
"""

import asyncio
import collections
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from heddle.core import identity
from heddle.twins.comfyui import graphs, news

HISTORY_MAX = 10_000
FILES_MAX = 20_000
FILES_BYTES_MAX = 512 * 1024**2
PENDING_MAX = 10_000
STUCK_LOOK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Job:
    """One job; jobs compare by number and then by id, as ComfyUI's queue orders them."""

    number: float
    prompt_id: str
    graph: Mapping[str, identity.JsonValue] = field(compare=False)
    extra_data: Mapping[str, identity.JsonValue] = field(compare=False)
    outputs: tuple[str, ...] = field(compare=False)
    latency_s: float = field(compare=False)
    is_failed: bool = field(compare=False)

    def as_json(self) -> list[identity.JsonValue]:
        """Give the form in which queue and history show jobs."""
        return [self.number, self.prompt_id, self.graph, self.extra_data, list(self.outputs)]


class Queue:
    """The queue of one server. ``work`` is its one task, to be run for as long as the server lives."""

    def __init__(self, *, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.news = news.News(remaining=lambda: self.remaining)
        self._pending: list[Job] = []
        self._has_pending = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._count = 0
        self.running: Job | None = None
        self.stuck: list[Job] = []
        self.history: collections.OrderedDict[str, dict[str, identity.JsonValue]] = collections.OrderedDict()
        self.files: collections.OrderedDict[tuple[str, str, str], bytes] = collections.OrderedDict()
        self._files_bytes = 0

    def put(self, job: Job, *, is_stuck: bool) -> None:
        """Add a job; a stuck one stays pending for ever."""
        if is_stuck:
            self.stuck.append(job)
        else:
            heapq.heappush(self._pending, job)
            self._has_pending.set()
        self.news.tell_status()

    @property
    def pending(self) -> list[Job]:
        """List the jobs that wait."""
        return [*self._pending, *self.stuck]

    @property
    def remaining(self) -> int:
        """Count the jobs that are not over."""
        return len(self._pending) + len(self.stuck) + (self.running is not None)

    @property
    def is_full(self) -> bool:
        """Tell whether no more jobs are taken."""
        return len(self._pending) + len(self.stuck) >= PENDING_MAX

    def remove(self, prompt_id: str) -> bool:
        """Take a pending job out; tells whether there was one."""
        before = len(self.pending)
        self._pending = [job for job in self._pending if job.prompt_id != prompt_id]
        self.stuck = [job for job in self.stuck if job.prompt_id != prompt_id]
        heapq.heapify(self._pending)
        self.news.tell_status()
        return len(self.pending) < before

    def clear(self) -> None:
        """Take all pending jobs out."""
        self._pending, self.stuck = [], []
        self.news.tell_status()

    def interrupt(self, prompt_id: str | None) -> bool:
        """Interrupt what runs, or a job only if it is the one; tells whether anything was interrupted."""
        if self.running is None or prompt_id not in (None, self.running.prompt_id):
            return False
        self._interrupted.set()
        return True

    def store(self, *, kind: str, subfolder: str, filename: str, data: bytes) -> None:
        """Keep a file; of more than 20,000, or 512 MiB together, the oldest go."""
        self._files_bytes += len(data) - len(self.files.pop((kind, subfolder, filename), b""))
        self.files[kind, subfolder, filename] = data
        while len(self.files) > FILES_MAX or self._files_bytes > FILES_BYTES_MAX:
            _, gone = self.files.popitem(last=False)
            self._files_bytes -= len(gone)

    async def work(self) -> None:
        """Work on one job after the other."""
        while True:
            await self._has_pending.wait()
            if not self._pending:
                self._has_pending.clear()
                continue
            self.running = job = heapq.heappop(self._pending)
            self._interrupted.clear()
            started_s = self._now_s()
            self._tell_start(job, started_s=started_s)
            try:
                async with asyncio.timeout(job.latency_s):
                    await self._interrupted.wait()
                is_interrupted = True
            except TimeoutError:
                is_interrupted = False
            self._end(job, started_s=started_s, is_interrupted=is_interrupted)
            self.running = None
            self._tell_end(job)

    def _tell_start(self, job: Job, *, started_s: float) -> None:
        frame: dict[str, identity.JsonValue] = {"prompt_id": job.prompt_id, "timestamp": int(started_s * 1_000)}
        self._tell(job, "execution_start", frame)
        self._tell(job, "execution_cached", {**frame, "nodes": []})
        for node in job.graph:
            self._tell(job, "executing", {"node": node, "display_node": node, "prompt_id": job.prompt_id})

    def _tell_end(self, job: Job) -> None:
        entry = self.history[job.prompt_id]
        for node, output in entry["outputs"].items():
            told = {"node": node, "display_node": node, "output": output, "prompt_id": job.prompt_id}
            self._tell(job, "executed", told)
        kind, data = entry["status"]["messages"][-1]
        self._tell(job, kind, data)
        self._tell(job, "executing", {"node": None, "prompt_id": job.prompt_id})
        self.news.tell_status()

    def _tell(self, job: Job, kind: str, data: news.Data) -> None:
        self.news.tell(kind, data, client_id=job.extra_data.get("client_id"))

    def _end(self, job: Job, *, started_s: float, is_interrupted: bool) -> None:
        outputs: dict[str, identity.JsonValue] = {}
        frame = {"prompt_id": job.prompt_id, "timestamp": int(self._now_s() * 1_000)}
        messages = [["execution_start", {"prompt_id": job.prompt_id, "timestamp": int(started_s * 1_000)}]]
        node_id = next(iter(job.graph))
        blamed = {"node_id": node_id, "node_type": job.graph[node_id]["class_type"], "executed": []}
        if is_interrupted:
            messages.append(["execution_interrupted", {**frame, **blamed}])
        elif job.is_failed:
            raised = {
                "exception_message": "Allocation on device 0 would exceed allowed memory. (out of memory)\n",
                "exception_type": "torch.OutOfMemoryError",
                "traceback": [],
                "current_inputs": {},
                "current_outputs": [],
            }
            messages.append(["execution_error", {**frame, **blamed, **raised}])
        else:
            self._count += 1
            outputs, files = graphs.run(job.graph, job.outputs, number=self._count)
            for file in files:
                self.store(kind=file.type, subfolder=file.subfolder, filename=file.filename, data=file.data)
            messages.append(["execution_success", frame])
        is_good = messages[-1][0] == "execution_success"
        self.history[job.prompt_id] = {
            "prompt": job.as_json(),
            "outputs": outputs,
            "status": {"status_str": "success" if is_good else "error", "completed": is_good, "messages": messages},
            "meta": {},
        }
        if len(self.history) > HISTORY_MAX:
            self.history.popitem(last=False)
