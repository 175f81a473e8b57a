"""A planted bug is found soon and replays from its seed: otherwise the simulation proves nothing."""

import pytest

from heddle.testing.memory import attempts, leases, plans, settling, stops
from tests.simulation import day

SEEDS_MOST = 200
REPLAYS = 20


def test_fence_when_its_check_is_dropped_then_a_seed_finds_it_and_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (attempts, leases, plans, settling, stops):
        monkeypatch.setattr(module, "holds", lambda _lease, _fence: True)

    found = next(seed for seed in range(1, SEEDS_MOST + 1) if _lived(seed) is not None)

    assert len({_lived(found) for _ in range(REPLAYS)}) == 1


def _lived(seed: int) -> tuple[str, ...] | None:
    """Give what was broken and how the day went, None for a day on which nothing was."""
    lived = day.Day(seed)
    try:
        lived.live()
    except day.BadDay as error:
        return (*error.problems, lived.digest())
    return None
