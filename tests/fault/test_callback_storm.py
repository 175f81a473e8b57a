"""A storm of providers' callbacks at the real door: repeated, shuffled, early, late, missing, forged and old.

The vendor is Replicate's twin, which leaves its telling to this test; the door is `heddle web`. The referee is the
vendor's book, and the database for what was kept of the callbacks. How long an answer took is told twice: by the door's
own numbers, and as the posts saw it, which on a busy machine is mostly their own waiting.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import enum
import math
import os
import queue
import random
import re
import resource
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from django.db import connections

from heddle.twins.kit import callbacks, calls, jobs
from heddle.twins.kit import options as twin_options
from heddle.twins.replicate import twin
from tests.fault import door, figures, harness, programs, sellers

JOBS = figures.scaled(short=200, full=10_000)
COPIES_MAX = 5
# Posts under way at once. Sixteen keep two cores busy whatever the door does: an answer is then mostly a wait.
POSTERS = int(os.environ.get("FAULT_POSTERS", "16"))
BATCH = 50
OLD_S = 600.0
FULL_S_PER_JOB = 0.2
# Jobs that are open at once; more would tell how fast one worker is on this machine, which other bars do.
IN_FLIGHT = 200
POLL_AFTER_S = figures.scaled(short=2, full=10)
HANDLER_BAR_S = 0.05
PROMPT = re.compile(r"purchase (\d+)")


class Fate(enum.Enum):
    """What happens to a job's callback."""

    EARLY = "before the submit is answered"
    LATE = "after the run has ended"
    NEVER = "never"
    FORGED = "with a bad signature"
    OLD = "signed ten minutes ago"
    PLAIN = "when the job is over"


def fate_of(number: int, seed: int) -> Fate:
    """Draw what happens to a job's callback: early 10 %, late 20 %, never 5 %, forged 1 %, old 1 %, else plain."""
    place = random.Random(f"{seed}/{number // 100}").sample(range(100), 100)[number % 100]
    bounds = ((10, Fate.EARLY), (30, Fate.LATE), (35, Fate.NEVER), (36, Fate.FORGED), (37, Fate.OLD))
    return next((fate for bound, fate in bounds if place < bound), Fate.PLAIN)


class StormTwin(twin.ReplicateTwin):
    """Replicate's twin, which tells nobody by itself and holds the answers of early jobs until their gate is open."""

    seed: ClassVar[int] = 0

    def __init__(self, given: twin_options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        self.over: queue.Queue[jobs.Job] = queue.Queue()
        self.gates: dict[int, threading.Event] = collections.defaultdict(threading.Event)

    async def watch(self, job: jobs.Job) -> None:
        """Hand a job that is over to the test."""
        if job.status.is_over:
            self.over.put(job)

    async def _waited(self, call: calls.Call, job: jobs.Job) -> jobs.Job:
        number = number_of(job)
        while fate_of(number, self.seed) is Fate.EARLY and not self.gates[number].is_set():
            await twin.asyncio.sleep(twin.LOOK_S)
        return job.as_accepted()


def number_of(job: jobs.Job) -> int:
    """Read which purchase a job is for."""
    found = PROMPT.search(str(job.paid.data["input"]["prompt"]))
    assert found is not None
    return int(found[1])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One delivery, and what must be answered to it."""

    url: str
    letter: callbacks.Letter
    status: int


class Postman:
    """Deliver callbacks side by side, and note how each was answered and how long it took."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(POSTERS)
        self._sent: list[concurrent.futures.Future[None]] = []
        self.took_s: list[float] = []
        self.wrong: list[str] = []

    def post(self, posts: list[Post], *, then: Callable[[], None] | None = None) -> None:
        """Deliver in this order, as far as there are hands; ``then`` is done when they are answered."""
        self._sent.append(self._pool.submit(self._in_turn, posts, then))

    def done(self) -> None:
        """Wait until everything is delivered."""
        for each in self._sent:
            each.result(programs.WAIT_S + FULL_S_PER_JOB * JOBS)
        self._sent.clear()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _in_turn(self, posts: list[Post], then: Callable[[], None] | None) -> None:
        for post in posts:
            headers = {**post.letter.headers, "Content-Type": "application/json"}
            request = urllib.request.Request(post.url, data=post.letter.body, headers=headers)
            started_s = time.monotonic()
            try:
                with urllib.request.urlopen(request, timeout=programs.WAIT_S) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                status = error.code
            self.took_s.append(time.monotonic() - started_s)
            if status != post.status:
                self.wrong.append(f"{post.status} was due, {status} came")
        if then is not None:
            then()


def posts_of(seller: StormTwin, job: jobs.Job, fate: Fate, chance: random.Random) -> list[Post]:
    """Write a job's callbacks: one to five copies of one event."""
    assert job.paid.callback_url is not None
    letter = seller.sign(job, time.time() - (OLD_S if fate is Fate.OLD else 0.0))
    if fate is Fate.FORGED:
        letter = dataclasses.replace(letter, body=letter.body + b"\n")
    status = 401 if fate in (Fate.FORGED, Fate.OLD) else 202
    return [Post(url=job.paid.callback_url, letter=letter, status=status)] * chance.randint(1, COPIES_MAX)


@pytest.fixture
def seed() -> int:
    StormTwin.seed = programs.seed()
    return StormTwin.seed


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """A vendor, its book, and the door that it tells."""

    seller: StormTwin
    stall: sellers.Stall
    web: door.Door


@pytest.fixture
def storm(site: harness.Site, seed: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    """Open the vendor, the door and a worker."""
    folder = tmp_path_factory.mktemp("storm")
    with sellers.market(folder, replicate=StormTwin) as market, contextlib.ExitStack() as stack:
        stall = market.open("replicate")
        made = market.twins["replicate"]
        assert isinstance(made, StormTwin)
        text = stall.configuration(folder).replace("poll_after_s = 0.2", f"poll_after_s = {POLL_AFTER_S}")
        text = text.replace("concurrency = 1000", f"concurrency = {IN_FLIGHT}")
        file = site.folder / "storm.toml"
        file.write_text(text)
        site.configure(text)
        web = door.Door(
            site, database_url=site.database.dsn, state_dir=site.folder / "state",
            HEDDLE_CONFIG_FILE=str(file), SIM_KEY=programs.API_KEY, SIM_HOOK=programs.WEBHOOK_SECRET,
        )  # fmt: skip
        stack.callback(web.close)
        site.start_worker("buyer", FAULT_COMPUTE="none", HEDDLE_PUBLIC_URL=web.url)
        yield Storm(seller=made, stall=stall, web=web)


def deliver(seller: StormTwin, postman: Postman, *, seed: int) -> tuple[list[jobs.Job], collections.Counter[Fate]]:
    """Tell of every job as its fate says; give those to be told of after the end, and how often each fate was."""
    chance, fates = random.Random(seed), collections.Counter[Fate]()
    late: list[jobs.Job] = []
    plain: list[Post] = []
    for _ in range(JOBS):
        job = seller.over.get(timeout=programs.WAIT_S + FULL_S_PER_JOB * JOBS)
        number = number_of(job)
        fate = fate_of(number, seed)
        fates[fate] += 1
        if fate is Fate.EARLY:
            postman.post(posts_of(seller, job, fate, chance), then=seller.gates[number].set)
        elif fate is Fate.LATE:
            late.append(job)
        elif fate is not Fate.NEVER:
            plain += posts_of(seller, job, fate, chance)
        if len(plain) >= BATCH or seller.over.empty():
            chance.shuffle(plain)
            for post in plain:
                postman.post([post])
            plain = []
    for post in plain:
        postman.post([post])
    return late, fates


def deliver_late(seller: StormTwin, postman: Postman, late: list[jobs.Job], *, seed: int) -> None:
    """Tell of jobs of runs that are over, signed now: a vendor signs each try, and an old signature is refused."""
    chance = random.Random(f"{seed}/late")
    posts = [post for job in late for post in posts_of(seller, job, Fate.LATE, chance)]
    chance.shuffle(posts)
    for post in posts:
        postman.post([post])


def bought(site: harness.Site, stall: sellers.Stall) -> list[uuid.UUID]:
    """Buy everything; meanwhile the first jobs are told of, since an early one holds its sender."""
    try:
        return [
            site.submit("purchase", seller="replicate", number=number, given=stall.seller.given(number))
            for number in range(JOBS)
        ]
    finally:
        connections.close_all()


def ended(site: harness.Site) -> dict[uuid.UUID, Any]:
    """Wait until every run is over, and give what the step after the call gave in each that succeeded."""
    still_open = "select count(*) from heddle_run where state in ('queued', 'running')"
    try:
        programs.until(
            lambda: site.value(still_open) == 0,
            what=f"{JOBS} runs end", timeout_s=programs.WAIT_S + FULL_S_PER_JOB * JOBS, look_s=0.5,
        )  # fmt: skip
    except AssertionError as error:
        raise AssertionError(f"{error}\n{site.explanation()}") from error
    query = "select r.id, s.output from heddle_run r join heddle_step s on s.run_id = r.id and s.ordinal = 2"
    return dict(site.rows(f"{query} where r.state = 'succeeded' and s.state = 'succeeded'"))


def used_s() -> float:
    """Tell how much CPU the programs that have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_callbacks_when_they_come_in_every_wrong_way_then_each_run_ends_once_and_only_true_ones_are_kept(
    site: harness.Site, storm: Storm, seed: int
) -> None:
    postman = Postman()
    with concurrent.futures.ThreadPoolExecutor(1) as buyer:
        buying = buyer.submit(bought, site, storm.stall)
        late, fates = deliver(storm.seller, postman, seed=seed)
        run_ids = buying.result()

    outputs = ended(site)
    postman.done()
    deliver_late(storm.seller, postman, late, seed=seed)
    postman.done()
    postman.close()

    times, used_before_s = storm.web.times("/callbacks/"), used_s()
    storm.web.close()
    true_ones = JOBS - fates[Fate.NEVER] - fates[Fate.FORGED] - fates[Fate.OLD]
    kept = site.value("select count(*) from heddle_inbox where run_id = any(%s)", [run_ids])
    follows = collections.Counter(len(site_traced) for site_traced in _traced(site).values())
    waits_s = polled_after_s(site, storm.stall, run_ids, seed=seed)
    took_s = sorted(postman.took_s)
    wrong = [number for number, run_id in enumerate(run_ids) if outputs.get(run_id) != number]
    payments = len(storm.stall.payments())
    figures.note(
        "B5 callbacks", seed=seed, jobs=JOBS, posts_at_once=POSTERS, delivered=len(took_s),
        early=fates[Fate.EARLY], late=fates[Fate.LATE],
        never=fates[Fate.NEVER], forged=fates[Fate.FORGED], old=fates[Fate.OLD], wrong_ends=len(wrong),
        successors_not_once=JOBS - follows[1], duplicates=payments - JOBS,
        wrong_answers=len(postman.wrong), kept=kept, due=true_ones, polled_p99_s=_p99(waits_s),
        polled_max_s=waits_s[-1], door_p99_at_most_s=_p99_at_most(times), door_share_within_bar=_share(times),
        door_cpu_ms_each=1_000 * (used_s() - used_before_s) / len(took_s), posted_p99_s=_p99(took_s),
    )  # fmt: skip

    assert wrong == []
    assert follows == {1: JOBS}
    assert payments == JOBS
    assert postman.wrong == []
    assert kept == true_ones
    assert times[math.inf] == len(took_s)
    assert _p99(waits_s) <= programs.WAIT_S


def _traced(site: harness.Site) -> dict[str, list[str]]:
    found: dict[str, list[str]] = collections.defaultdict(list)
    for line in site.trace.read_text().splitlines():
        word, pid = line.split()
        if word.startswith("follows."):
            found[word].append(pid)
    return found


def polled_after_s(site: harness.Site, stall: sellers.Stall, run_ids: list[Any], *, seed: int) -> list[float]:
    """Tell, for each job of which no true callback came, how long after its end its result was found, in order."""
    ends_s = {int(each.subject): each.ends_at_s for each in stall.payments()}
    rows = site.rows(
        "select (r.input->>'number')::int, extract(epoch from s.finished_at)::float8 from heddle_run r"
        " join heddle_step s on s.run_id = r.id and s.ordinal = 1 where r.id = any(%s)",
        [run_ids],
    )
    untold = (Fate.NEVER, Fate.FORGED, Fate.OLD)
    return sorted(at_s - ends_s[number] for number, at_s in rows if fate_of(number, seed) in untold)


def _p99(ordered: list[float]) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def _p99_at_most(times: dict[float, int]) -> float:
    """Give the bound of the door's own buckets under which 99 of 100 answers are."""
    return min(most for most, count in times.items() if count >= 0.99 * times[math.inf])


def _share(times: dict[float, int]) -> float:
    return times[HANDLER_BAR_S] / times[math.inf]
