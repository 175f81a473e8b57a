"""Workers that die in the middle of everything cost time and nothing else: no step lost, no paid call made twice."""

import pathlib
import random
import signal
import uuid
from collections.abc import Iterator

import pytest

from tests.fault import harness, programs

RUNS = 12
HOLDS = """
select true from heddle_lease l join heddle_worker w on w.id = l.worker_id
where w.name = %s and l.purpose in ('execute', 'send') limit 1
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory, site: harness.Site) -> Iterator[harness.Simulator]:
    folder: pathlib.Path = tmp_path_factory.mktemp("provider")
    with harness.simulator(folder, latency_ms=200, seed=5) as made:
        site.configure(harness.simulated_endpoint("studio", made.url, model="paint"))
        yield made


def test_workers_when_killed_under_all_kinds_of_steps_then_every_run_ends_right_and_is_paid_once(
    site: harness.Site, provider: harness.Simulator
) -> None:
    chance = random.Random(programs.seed())
    takes_s = [chance.uniform(0.1, 0.5) for _ in range(RUNS)]
    workers = [site.launch_worker(f"mortal-{n}") for n in range(3)]
    for worker in workers:
        site.until_started(worker)

    run_ids: list[uuid.UUID] = []
    for doomed in workers[:2]:
        first = len(run_ids)
        run_ids += [site.submit("mixed", number=n, take_s=takes_s[n]) for n in range(first, first + RUNS // 2)]
        site.until_row(HOLDS, [doomed.name], what=f"{doomed.name} holds a step")
        doomed.kill()
    runs = site.ended(*run_ids)

    assert [run.output for run in runs] == [{"total": 2 * n, "seed": n} for n in range(RUNS)]
    assert provider.payments_by_seed() == dict.fromkeys(range(RUNS), 1)
    site.until_quiet()


def test_step_when_its_worker_dies_under_it_then_another_runs_it_again_and_the_death_is_no_try_of_its(
    site: harness.Site, provider: harness.Simulator, tmp_path: pathlib.Path
) -> None:
    gate = tmp_path / "gate"
    site.stop()
    first = site.start_worker("first")
    run_id = site.submit("held", number=1, gate=str(gate))
    site.until_traced("held.1")

    first.kill()
    second = site.start_worker("second")
    site.until_traced("held.1", times=2)
    gate.touch()
    run = site.ended(run_id)[0]

    assert run.state == "succeeded"
    assert [attempt.state for attempt in site.steps(run_id)[0].attempts] == ["abandoned", "done"]
    assert second.said("worker.died")


def test_zombie_when_it_wakes_after_its_lease_then_its_heirs_result_stands_and_it_works_on_under_a_new_id(
    site: harness.Site, provider: harness.Simulator, tmp_path: pathlib.Path
) -> None:
    gate = tmp_path / "gate"
    site.stop()
    zombie = site.start_worker("zombie")
    run_id = site.submit("held_in_loop", number=3, gate=str(gate))
    site.until_traced("held.3")
    zombie.send(signal.SIGSTOP)
    heir = site.start_worker("heir")
    site.until_traced("held.3", times=2)
    gate.touch()
    run = site.ended(run_id)[0]

    zombie.send(signal.SIGCONT)
    programs.until(lambda: zombie.said("worker.retired"), what="the zombie notices")
    heir.kill()
    after = site.ended(site.submit("sums", number=1))[0]

    assert run.output == site.run(run_id).output == 3 + heir.pid * 1_000
    assert after.output == 5
    assert site.value("select count(*) from heddle_worker where name = 'zombie' and state = 'alive'") == 1
    assert site.value("select count(*) from heddle_worker where name = 'zombie' and state = 'dead'") == 1
