"""Live seeded days: `python -m tests.simulation SEED` shows one, `--seeds N` lives N of them, on every core."""

import argparse
import concurrent.futures
import os
import sys
import time

from tests import pg
from tests.simulation import living

TOLD_EVERY = 250


def show(seed: int) -> int:
    """Show one day, move by move, and what it broke."""
    pg.set_up_django()
    living.silence()
    from tests.simulation import day

    made, problems = day.Day(seed), []
    try:
        made.live()
    except day.BadDay as error:
        problems = error.problems
    print("\n".join(made.world.trace))
    for problem in problems:
        print(f"BROKEN: {problem}")
    print(
        f"seed {seed}: {made.commits} transactions, {len(made.world.trace)} moves, {len(problems)} promises broken;"
        f" trace {made.digest()[:16]}"
    )
    return 1 if problems else 0


def many(first: int, count: int, workers: int) -> int:
    """Live many days; print each that went wrong, and a summary."""
    started_s, transactions, bad = time.monotonic(), 0, []
    with concurrent.futures.ProcessPoolExecutor(max_workers=workers, mp_context=living.processes()) as pool:
        for lived in pool.map(living.live, range(first, first + count), chunksize=5):
            transactions += lived.transactions
            if lived.problem:
                bad.append(lived.seed)
                print(lived.problem, flush=True)
            done = lived.seed - first + 1
            if done % TOLD_EVERY == 0 and done < count:
                took_s = time.monotonic() - started_s
                print(f"{done} of {count} days lived in {took_s:.0f} s; bad days: {bad or 0}", flush=True)
    took_s = time.monotonic() - started_s
    print(f"seeds {first} to {first + count - 1}: {transactions} transactions in {took_s:.1f} s; bad days: {bad or 0}")
    return 1 if bad else 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="show this one day")
    parser.add_argument("--seeds", type=int, default=500, help="how many days to live")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    given = parser.parse_args()
    return show(given.seed) if given.seed is not None else many(given.first, given.seeds, given.workers)


if __name__ == "__main__":
    sys.exit(main())
