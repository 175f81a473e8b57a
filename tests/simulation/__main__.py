"""Live seeded days: `python -m tests.simulation SEED` shows one, `--seeds N` lives N of them, on every core."""

import argparse
import concurrent.futures
import sys
import time

from tests import pg


def live(seed: int) -> tuple[int, int, str]:
    """Live one day in this process; give its seed, its transactions and what was broken."""
    pg.set_up_django()
    from tests.simulation import day

    made = day.Day(seed)
    try:
        made.live()
    except day.BadDay as error:
        return seed, made.commits, str(error)
    return seed, made.commits, ""


def show(seed: int) -> int:
    """Show one day, move by move, and what it broke."""
    pg.set_up_django()
    from tests.simulation import day

    made = day.Day(seed)
    try:
        made.live()
    except day.BadDay as error:
        problems = error.problems
    else:
        problems = []
    print("\n".join(made.world.trace))
    for problem in problems:
        print(f"BROKEN: {problem}")
    print(
        f"seed {seed}: {made.commits} transactions, {len(made.world.trace)} moves, {len(problems)} promises broken;"
        f" trace {made.digest()}"
    )
    return 1 if problems else 0


def many(first: int, count: int, workers: int) -> int:
    """Live many days; print each that went wrong, and a summary."""
    started_s, moves, bad = time.monotonic(), 0, []
    with concurrent.futures.ProcessPoolExecutor(max_workers=workers) as pool:
        for seed, moved, problem in pool.map(live, range(first, first + count), chunksize=5):
            moves += moved
            if problem:
                bad.append(seed)
                print(problem, flush=True)
    took_s = time.monotonic() - started_s
    print(f"{count} seeds from {first}: {moves} transactions in {took_s:.1f} s, {len(bad)} bad days {bad[:50]}")
    return 1 if bad else 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="show this one day")
    parser.add_argument("--seeds", type=int, default=500, help="how many days to live")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    given = parser.parse_args()
    return show(given.seed) if given.seed is not None else many(given.first, given.seeds, given.workers)


if __name__ == "__main__":
    sys.exit(main())
