"""Do the same work with nothing but SQL: what this PostgreSQL gives to a queue written by hand, in the same minutes.

Threads claim and settle over a table shaped like ours, each with one connection, claim and settle in one round trip:
leases with fences, attempt rows, edges counted down, runs counted down behind an ordered lock. No journals, no
activations, no events, no fairness, no user code. It is the yardstick of the ratios, not code to run a product on.
"""

import threading
import time
from typing import Any

import psycopg

from bench.figures import Figure, Unit
from bench.house import House

THREADS = 2
BATCH = 100
LIMIT_S = 60.0
IDLE_S = 0.001
INPUT = '{"prompt": "a coat in a street in Paris", "seed": 42}'
OUTPUT = '{"image": "sha256:feedface", "score": 0.93}'
TABLES = """
drop schema if exists bench_pure cascade;
create schema bench_pure;
create table bench_pure.run (id bigint primary key, open int not null, state smallint not null default 0)
  with (fillfactor = 70);
create table bench_pure.step (run_id bigint, n int, state smallint not null default 0, blockers int not null,
  children int[], input jsonb, output jsonb, finished_at timestamptz, primary key (run_id, n)) with (fillfactor = 60);
create table bench_pure.ready (seq bigint generated always as identity primary key, run_id bigint, n int);
create table bench_pure.lease (run_id bigint, n int, worker int, fence bigint, claimed_at timestamptz,
  primary key (run_id, n));
create table bench_pure.attempt (run_id bigint, n int, worker int, started_at timestamptz, finished_at timestamptz);
create sequence bench_pure.fence;
"""
PLANNER = """
set search_path = bench_pure; set plan_cache_mode = force_generic_plan; set enable_seqscan = off;
set enable_hashjoin = off; set enable_mergejoin = off
"""
FILL = {
    "chain": "insert into step select g, n, 0, case when n = 1 then 0 else 1 end, case when n < 3 then array[n + 1] end"
    ", %(input)s from generate_series(1, %(runs)s) g, generate_series(1, 3) n",
    "noop": "insert into step select g, n, 0, 0, null, %(input)s"
    " from generate_series(1, %(runs)s) g, generate_series(1, 100) n",
}
STEPS = {"chain": 3, "noop": 100}
CLAIM = """
with taken as (
  delete from ready where seq = any(array(select seq from ready order by seq limit %(want)s for update skip locked))
  returning run_id, n
), leased as (
  insert into lease select run_id, n, %(worker)s, nextval('fence'), clock_timestamp() from taken
  returning run_id, n, fence
)
select l.run_id, l.n, l.fence, s.input from leased l join step s using (run_id, n)
"""
LOCK = """
select count(*) from (select 1 from run where id = any(%(runs)s::bigint[]) order by id for no key update) locked
"""
SETTLE = """
with d as (
  select * from unnest(%(runs)s::bigint[], %(ns)s::int[], %(fences)s::bigint[], %(outputs)s::jsonb[])
    d (run_id, n, fence, output)
), freed as (
  delete from lease l using d where l.run_id = d.run_id and l.n = d.n and l.fence = d.fence
  returning l.run_id, l.n, l.worker, l.claimed_at, d.output
), tried as (
  insert into attempt select run_id, n, worker, claimed_at, clock_timestamp() from freed
), done as (
  update step s set state = 1, output = f.output, finished_at = clock_timestamp() from freed f
  where s.run_id = f.run_id and s.n = f.n returning s.run_id, s.n, s.children
), moved as (
  update step s set blockers = s.blockers - k.hits
  from (select run_id, child, count(*)::int as hits from done cross join lateral unnest(children) child group by 1, 2) k
  where s.run_id = k.run_id and s.n = k.child returning s.run_id, s.n, s.blockers
), readied as (
  insert into ready (run_id, n) select run_id, n from moved where blockers = 0
)
update run r set open = r.open - x.ended, state = case when r.open = x.ended then 1 else 0 end
from (select run_id, count(*)::int as ended from done group by 1) x where r.id = x.run_id
"""


def measure(house: House, *, shape: str, runs: int) -> list[Figure]:
    """Drain runs of one shape, chain (3 steps each) or noop (100), with two threads in batches of 100.

    Raises TimeoutError when they are not over in 60 s.
    """
    steps = runs * STEPS[shape]
    with house.connect() as connection:
        connection.execute(TABLES)
        connection.execute("set search_path = bench_pure")
        connection.execute("insert into run select g, %s from generate_series(1, %s) g", (STEPS[shape], runs))
        connection.execute(FILL[shape], {"input": INPUT, "runs": runs})
        connection.execute(
            "insert into ready (run_id, n) select run_id, n from step where blockers = 0 order by run_id, n"
        )
        connection.execute("vacuum (analyze) run, step, ready")
        connection.execute("checkpoint")
        seconds = _drain(house, steps)
        row = connection.execute("select count(*) from run where state = 1").fetchone()
        connection.execute("drop schema bench_pure cascade")
    if row != (runs,):
        raise TimeoutError(f"pure SQL, {shape}: {row} of {runs} runs were over after {LIMIT_S:g} s")
    return [Figure(name=f"pure_sql_{shape}_steps_per_s", value=steps / seconds, unit=Unit.PER_S)]


def _drain(house: House, steps: int) -> float:
    done = [0] * THREADS
    until_s = time.monotonic() + LIMIT_S
    started_s = time.perf_counter()

    def work(worker: int) -> None:
        with house.connect() as connection:
            connection.execute(PLANNER)
            _claim_and_settle(connection, worker, done, steps, until_s)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started_s


def _claim_and_settle(
    connection: psycopg.Connection[Any], worker: int, done: list[int], steps: int, until_s: float
) -> None:
    """Settle what is held and claim the next batch in one round trip, until everything is done."""
    wanted = {"want": BATCH, "worker": worker}
    held: list[tuple[Any, ...]] = []
    while sum(done) < steps and time.monotonic() < until_s:
        with connection.pipeline():
            if held:
                values = {
                    "runs": [row[0] for row in held],
                    "ns": [row[1] for row in held],
                    "fences": [row[2] for row in held],
                    "outputs": [OUTPUT] * len(held),
                }
                connection.execute("begin")
                connection.execute(LOCK, values, prepare=True)
                connection.execute(SETTLE, values, prepare=True)
                connection.execute("commit")
            claimed = connection.execute(CLAIM, wanted, prepare=True)
        done[worker] += len(held)
        held = claimed.fetchall()
        if not held:
            time.sleep(IDLE_S)
