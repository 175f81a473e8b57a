"""Five hundred seeded days of the real engine keep every promise; `make sim` lives more, and shows one."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

import pytest

from tests.simulation import living

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = 500
SHARDS = 10


@pytest.fixture(scope="module")
def processes() -> "concurrent.futures.ProcessPoolExecutor":
    with concurrent.futures.ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=living.processes()) as pool:
        yield pool


@pytest.fixture(scope="module")
def days(processes: "concurrent.futures.ProcessPoolExecutor") -> "list[concurrent.futures.Future[living.Lived]]":
    """Begin with all of them at once, so that every core works whatever shard is asked after."""
    return [processes.submit(living.live, seed) for seed in range(1, SEEDS + 1)]


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_seeds_then_every_promise_is_kept(days: "list[concurrent.futures.Future[living.Lived]]", shard: int) -> None:
    lived = [day.result() for day in days[shard::SHARDS]]

    assert [each.problem for each in lived if each.problem] == []
    assert min(each.transactions for each in lived) >= 300


def test_seed_when_lived_in_two_processes_then_it_goes_the_same_way() -> None:
    """Hashes of texts differ between processes, addresses too: neither may decide anything."""
    told = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "11"],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": f"{ROOT / 'src'}"},
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        for hash_seed in (1, 2)
    ]

    assert told[0] == told[1]
