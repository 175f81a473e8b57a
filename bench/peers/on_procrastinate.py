"""Jobs on Procrastinate, in PostgreSQL: the application that `procrastinate worker` runs and how it is submitted to."""

import asyncio
from collections.abc import Sequence

import procrastinate
from procrastinate import JobContext

from bench.peers import posts, setting, tally

QUEUE = "bench"
POOL = 20
BATCH = 500
LINKS = 3
NAP_S = 0.005

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=setting.read().postgres_url, min_size=1, max_size=POOL)
)


@app.task(name="noop", queue=QUEUE)
async def noop(number: int) -> None:
    """Do nothing."""
    tally.mark()


@app.task(name="http", queue=QUEUE)
async def http(number: int) -> None:
    """Post once."""
    await posts.post_async()


@app.task(name="chain", queue=QUEUE)
async def chain(number: int, link: int = 1) -> None:
    """Do nothing, and submit the next link; Procrastinate itself has no chains."""
    tally.mark()
    if link < LINKS:
        await chain.defer_async(number=number, link=link + 1)


@app.task(name="stamp", queue=QUEUE)
async def stamp(number: int) -> None:
    """Tell how long it took to begin."""
    tally.stamp(number)


@app.task(name="logged", queue=QUEUE)
async def logged(number: int) -> None:
    """Tell of beginning and end, 5 ms apart."""
    tally.begin(number)
    await asyncio.sleep(NAP_S)
    tally.end(number)


async def _retry_stalled(context: JobContext, timestamp: int) -> None:
    """Do what Procrastinate's documentation says about stalled jobs, every five seconds."""
    for job in await app.job_manager.get_stalled_jobs():
        await app.job_manager.retry_job(job)


if setting.read().is_careful:
    app.periodic(cron="* * * * * */5")(
        app.task(name="retry_stalled", queue=QUEUE, queueing_lock="retry_stalled", pass_context=True)(_retry_stalled)
    )

TASKS = {"noop": noop, "http": http, "chain": chain, "stamp": stamp, "logged": logged}


class Door:
    """Submit with `defer`; many with its batches, 500 a statement."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def reset(self) -> None:
        """Make its tables in the empty database it was given."""
        self._loop.run_until_complete(app.open_async())
        self._loop.run_until_complete(app.schema_manager.apply_schema_async())

    def submit(self, kind: str, number: int) -> None:
        """Submit one job."""
        self._loop.run_until_complete(TASKS[kind].defer_async(number=number))

    def submit_many(self, kind: str, numbers: Sequence[int]) -> None:
        """Submit 500 at a time."""
        task = TASKS[kind]
        for start in range(0, len(numbers), BATCH):
            jobs = ({"number": number} for number in numbers[start : start + BATCH])
            self._loop.run_until_complete(task.batch_defer_async(*jobs))
