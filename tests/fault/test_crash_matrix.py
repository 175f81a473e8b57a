"""The crash matrix: real workers buy from nine sellers of every class and are killed -9 at every crash point.

The referee is each seller's own book. Short: all sellers at once, one kill at each point. Full: each seller and each of
its points by itself, fifty kills for each class and point, or as many as FAULT_MATRIX_KILLS says; cells may run beside
each other (`-n 3 --dist worksteal`), each process with its own database and sellers, and FAULT_RESUME=1 leaves out the
cells that were measured already and held.
"""

import asyncio
import collections
import os
import time
from collections.abc import Iterator, Sequence

import pytest

from heddle.twins.kit import callbacks
from tests import pg
from tests.fault import figures, harness, matrix, programs, sellers
from tests.races import scene

POINTS = ("K1", "K2", "K3", "K4", "K5", "K6", "K7", "K8")
AFTER_SENDING = ("K3", "K4", "K5", "K8")
CELLS = tuple(
    (name, point)
    for name, seller in sellers.SELLERS.items()
    for point in POINTS
    if point != "K7" or seller.has_callback
)
KILLS_PER_CLASS = int(os.environ.get("FAULT_MATRIX_KILLS", "50"))
# What the kills of a kind at a point are shared among; class C has three kinds, each with fifty of its own.
SHARES = collections.Counter((sellers.SELLERS[name].kind, point) for name, point in CELLS)
# Workers that die beside each other in one cell; each holds one purchase.
WORKERS = 3
# B3: 99 of 100 deaths are got over by then; the tests' lease is two seconds.
RECOVERED_WITHIN_S = float(programs.SETTINGS["HEDDLE_LEASE_S"]) + 5.0


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """Let vendors try a callback for minutes (theirs do for hours): a door has to be born again and again meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "TRIES_MAX", 100)
        yield


@pytest.fixture(scope="module")
def market(site: harness.Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sellers.Market]:
    """Open every seller, and lead a model to each."""
    folder = tmp_path_factory.mktemp("market")
    with sellers.market(folder) as made:
        text = "\n".join(made.open(name).configuration(folder) for name in sellers.SELLERS)
        (site.folder / "matrix.toml").write_text(text)
        site.configure(text)
        yield made


def broken_promises(result: matrix.Result, *, kills_after_sending: int) -> list[str]:
    """Say which promises of its class a seller's purchases broke."""
    seller, broken = result.seller, []
    most = kills_after_sending if seller.kind == "C at least once" else 0
    if result.duplicates > most:
        broken.append(f"{seller.name}: {result.duplicates} duplicates, at most {most} may be")
    if result.lost:
        broken.append(f"{seller.name}: {result.lost} lost")
    paid_unknown = sum(each.state == "unknown" and each.payments > 0 for each in result.purchases)
    if paid_unknown and seller.kind != "C at most once":
        broken.append(f"{seller.name}: {paid_unknown} paid for, and unknown all the same")
    if result.unknown_left > paid_unknown and seller.kind != "C at most once" and not seller.may_rest_unpaid:
        broken.append(f"{seller.name}: {result.unknown_left - paid_unknown} left unknown")
    unbooked = sum(max(0, each.payments - each.charges) for each in result.purchases if each.state == "succeeded")
    if seller.price_nano_usd and unbooked:
        broken.append(f"{seller.name}: {unbooked} payments that the cost of the run does not show")
    return broken


def unknown_counted(database: pg.Database) -> int:
    """Read what the gauge heddle_attempts_unknown shows, by which HeddleOutcomeUnknown is raised."""

    async def read() -> int:
        store = scene.engine_store(database, size=1)
        await store.open()
        try:
            return (await store.gauges(lease_s=15.0)).unknown_attempts
        finally:
            await store.close()

    return asyncio.run(read())


def note(results: Sequence[matrix.Result], *, bar: str, kills: int, broken: Sequence[str], **more: object) -> None:
    """Keep the figures of a cell."""
    figures.note(
        bar,
        seed=sellers.SEED,
        broken=broken,
        sellers=len(results),
        purchases=sum(len(each.purchases) for each in results),
        kills=kills,
        payments=sum(len(each.payments) for each in results),
        duplicates=sum(each.duplicates for each in results if each.seller.kind != "C at least once"),
        duplicates_at_least_once=sum(each.duplicates for each in results if each.seller.kind == "C at least once"),
        made_again_after_forgotten=sum(each.repeated - each.duplicates for each in results),
        lost=sum(each.lost for each in results),
        unknown_left=sum(each.unknown_left for each in results),
        **more,
    )


@figures.in_form(full=False)
def test_purchases_when_processes_are_killed_at_every_point_then_they_are_paid_as_their_classes_promise(
    site: harness.Site, database: pg.Database, market: sellers.Market
) -> None:
    cell = matrix.Cell(site, list(market.stalls.values()), points=POINTS, kills=1)

    results = cell.run(count=2, first=1)
    kills = {point: cell.kills(point) for point in POINTS}
    after_sending = sum(kills[point] for point in AFTER_SENDING)
    broken = [each for result in results for each in broken_promises(result, kills_after_sending=after_sending)]
    note(results, bar="B3 all classes", kills=sum(kills.values()), broken=broken)

    assert broken == []
    assert kills == dict.fromkeys(POINTS, 1)
    assert unknown_counted(database) == sum(each.unknown_left for each in results)


@figures.in_form(full=True)
@pytest.mark.parametrize(("name", "point"), CELLS)
def test_purchases_when_processes_are_killed_at_one_point_then_they_are_paid_as_their_class_promises(
    site: harness.Site, database: pg.Database, market: sellers.Market, name: str, point: str
) -> None:
    kind = sellers.SELLERS[name].kind
    kills = -(-KILLS_PER_CLASS // SHARES[kind, point])
    bar = f"B3 {kind} {name} {point}"
    before = figures.held(bar)
    if before is not None and before["kills"] >= kills:
        pytest.skip(f"{bar}: {before['kills']} kills were measured already")
    cell = matrix.Cell(site, [market.stalls[name]], points=[point], kills=kills, workers=WORKERS)

    started_s = time.monotonic()
    # Fewer purchases than kills: some are hit again while what another death left of them is being mended.
    first = 10_000 * (1 + CELLS.index((name, point)))
    [result] = cell.run(count=kills // 2 + 1, first=first, until_spent=point, more=2 * WORKERS)
    unknown, shown = site.value("select count(*) from heddle_step where state = 'unknown'"), unknown_counted(database)
    broken = broken_promises(result, kills_after_sending=sum(cell.kills(each) for each in AFTER_SENDING))
    deaths, late = len(cell.recovered_s), sum(each_s > RECOVERED_WITHIN_S for each_s in cell.recovered_s)
    if late > max(1, deaths // 100):
        broken.append(f"after {late} of {deaths} deaths something was held for more than {RECOVERED_WITHIN_S:g} s")
    if unknown != shown:
        broken.append(f"{unknown} are unknown, {shown} are shown")
    note(
        [result], bar=bar, kills=cell.kills(point), broken=broken, kind=kind, seller=name, point=point,
        deaths=deaths, recovered_late=late, recovered_max_s=max(cell.recovered_s, default=0.0),
        took_s=time.monotonic() - started_s,
    )  # fmt: skip

    assert broken == []
    assert cell.kills(point) == kills
