"""Carry out one cell of the crash matrix: buy things while processes die at chosen points, then count.

A worker that dies is born again at once, with the same crash points armed, until the kills are spent; so is the door
that takes callbacks. Several workers of a cell die and are missed beside each other, since a death is mostly waiting
for others to notice. A cell is over when every purchase has come to where the promise of its class says it must, and
as many have died as should. What came of it is a record; what must hold is the test's.
"""

import collections
import contextlib
import dataclasses
import pathlib
import random
import signal
import socket
import time
import uuid
from collections.abc import Sequence

from tests.fault import harness, programs, sellers

# Long enough for the slowest: a worker is born in a second or two, and missed in about two.
CELL_S_PER_KILL = 20.0
# Purchases that a cell may make for each kill before it is said that a point is not reached.
PURCHASES_PER_KILL_MAX = 50
LOOK_S = 0.2
IN_DOUBT = "K4"
IN_FLIGHT = 4
PORTS = range(20_000, 30_000)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """How one purchase ended: its step's state, how often its seller was paid, how many attempts the books charge for.

    ``is_at_rest``: nothing will move it by itself any more.
    """

    state: str
    payments: int
    charges: int
    is_at_rest: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a cell at one seller."""

    seller: sellers.Seller
    purchases: tuple[Purchase, ...]
    payments: tuple[sellers.Payment, ...]

    @property
    def repeated(self) -> int:
        """Count payments beyond the first of each purchase."""
        return len(self.payments) - sum(each.payments > 0 for each in self.purchases)

    @property
    def forgotten(self) -> int:
        """Count repeated payments that were made when the job of the payment before was over already."""
        ended: dict[str, float] = {}
        count = 0
        for each in self.payments:
            count += each.subject in ended and ended[each.subject] <= each.at_s
            ended[each.subject] = max(each.ends_at_s, ended.get(each.subject, 0.0))
        return count

    @property
    def duplicates(self) -> int:
        """Count repeated payments that the seller's own terms do not explain."""
        return self.repeated - (self.forgotten if self.seller.is_forgetful else 0)

    @property
    def lost(self) -> int:
        """Count purchases that came to nothing: neither a result nor a question to a person."""
        return sum(each.state not in ("succeeded", "unknown") for each in self.purchases)

    @property
    def unknown_left(self) -> int:
        """Count purchases whose outcome is left unknown."""
        return sum(each.state == "unknown" for each in self.purchases)


class Cell:
    """Some sellers, and the points at which processes die while they sell."""

    def __init__(
        self,
        site: harness.Site,
        stalls: Sequence[sellers.Stall],
        *,
        points: Sequence[str],
        kills: int,
        workers: int = 1,
    ) -> None:
        self._site = site
        self._stalls = list(stalls)
        self._points = list(points)
        self._workers = workers
        self._port = free_port()
        at_work = [point for point in points if point != "K7"]
        # A look-up is only made of what is in doubt; and a callback matters most where the answer was lost.
        is_doubt_needed = at_work == ["K8"] or (points == ["K7"] and stalls[0].seller.kind == "C called back")
        armed = [IN_DOUBT, *at_work] if is_doubt_needed else at_work
        self._kills_max = kills
        self._worker_armed = site.armed("+".join(armed), kills=kills)
        self._door_armed = site.armed("K7" if "K7" in points else "", kills=kills)
        self._books_before = [len(stall.payments()) for stall in self._stalls]
        self._run_ids: list[list[uuid.UUID]] = [[] for _ in self._stalls]
        # A callback that names its job leaves nothing to look up: the door stays shut until the look-ups are cut off.
        self._needs_door = any(stall.seller.has_callback for stall in self._stalls)
        self._living: list[programs.Program] = []
        self._born = 0
        self._dead_s: dict[str, float] = {}
        self._seen: list[Result] = []
        self.recovered_s: list[float] = []
        """How long after each worker's death nothing was held by it any more; seen up to ``LOOK_S`` late."""

    def run(self, *, count: int, first: int, until_spent: str | None = None, more: int = 1) -> list[Result]:
        """Buy ``count`` of each seller under kills; with a point, ``more`` and more until its kills are spent."""
        self._living = [self._worker() for _ in range(self._workers)]
        if self._needs_door and self._points != ["K8"]:
            self._living.append(self._door())
        self._buy(range(first, first + count))

        def is_over() -> bool:
            self._bear_again()
            self._note_recovery()
            if self._dead_s or not self._are_ended():
                return False
            # Told as it was judged: what may be left unknown can move on while the processes are ended.
            self._seen = self._results()
            if not all(map(_is_over, self._seen)):
                return False
            if until_spent is None or self.kills(until_spent) >= self._kills_max:
                return True
            bought = len(self._run_ids[0])
            assert bought < PURCHASES_PER_KILL_MAX * self._kills_max, f"{bought} purchases do not reach {until_spent}"
            self._buy(range(first + bought, first + bought + more))
            return False

        names = ", ".join(stall.seller.name for stall in self._stalls)
        timeout_s = programs.WAIT_S + CELL_S_PER_KILL * self._kills_max * len(self._points)
        try:
            programs.until(is_over, what=f"{names} at {self._points}", timeout_s=timeout_s, look_s=LOOK_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._site.explanation()}") from error
        finally:
            for program in self._living:
                program.kill()
        return self._seen

    def kills(self, point: str) -> int:
        """Count the kills at a point."""
        folders = {self._worker_armed["FAULT_MARKS"], self._door_armed["FAULT_MARKS"]}
        return sum(len(list(pathlib.Path(folder).glob(f"{point}.*"))) for folder in folders)

    def _buy(self, numbers: range) -> None:
        for stall, run_ids in zip(self._stalls, self._run_ids, strict=True):
            seller = stall.seller
            run_ids += [
                self._site.submit("purchase", seller=seller.name, number=number, given=seller.given(number))
                for number in numbers
            ]

    def _bear_again(self) -> None:
        """Let a new process take the place of each that died, and open the door when it is time to."""
        for place, program in enumerate(self._living):
            if not program.is_up():
                assert program.status() == -signal.SIGKILL, f"{program.name} ended by itself:\n{program.tail()}"
                if program.name != "door":
                    self._dead_s[program.name] = program.ended_at_s()
                self._living[place] = self._door() if program.name == "door" else self._worker()
        if self._needs_door and len(self._living) == self._workers and self.kills("K8") == self._kills_max:
            self._living.append(self._door())

    def _note_recovery(self) -> None:
        """Note which of the dead hold nothing any more."""
        if not self._dead_s:
            return
        holding = self._site.rows(
            "select w.name from heddle_worker w where w.name = any(%s) and (w.state in ('alive', 'draining')"
            " or exists (select 1 from heddle_lease l where l.worker_id = w.id))",
            [list(self._dead_s)],
        )
        for name in self._dead_s.keys() - {row[0] for row in holding}:
            self.recovered_s.append(time.time() - self._dead_s.pop(name))

    def _are_ended(self) -> bool:
        """Tell whether no purchase is on its way; the sellers' books are read only then."""
        run_ids = [run_id for each in self._run_ids for run_id in each]
        open_count = self._site.value(
            "select count(*) from heddle_run r left join heddle_step s on s.run_id = r.id and s.ordinal = 1"
            " where r.id = any(%s) and r.state in ('queued', 'running') and s.state is distinct from 'unknown'",
            [run_ids],
        )
        return not open_count

    def _results(self) -> list[Result]:
        every = zip(self._stalls, self._run_ids, self._books_before, strict=True)
        return [self._result(stall, run_ids, before) for stall, run_ids, before in every]

    def _worker(self) -> programs.Program:
        self._born += 1
        return self._site.launch_worker(
            f"buyer-{self._port}-{self._born}",
            **self._worker_armed,
            HEDDLE_PUBLIC_URL=f"http://127.0.0.1:{self._port}",
            # By itself a seller is asked one thing at a time, so that a kill leaves one purchase in doubt.
            HEDDLE_WORKER_IN_FLIGHT_MAX=str(IN_FLIGHT if len(self._stalls) > 1 else 1),
        )

    def _door(self) -> programs.Program:
        file = str(self._site.folder / "matrix.toml")
        return self._site.launch_worker("door", **self._door_armed, FAULT_DOOR=str(self._port), HEDDLE_CONFIG_FILE=file)

    def _result(self, stall: sellers.Stall, run_ids: list[uuid.UUID], before: int) -> Result:
        rows = self._site.rows(
            "select r.id, r.state, coalesce(s.state, 'due'), (select count(*) from heddle_ledger l where"
            " l.run_id = r.id and l.kind = 'charge')::int, not exists (select 1 from heddle_timer t"
            " where t.run_id = r.id) and not exists (select 1 from heddle_ready y where y.run_id = r.id) and not"
            " exists (select 1 from heddle_lease l where l.run_id = r.id), (r.input->>'number')::int"
            " from heddle_run r left join heddle_step s on s.run_id = r.id and s.ordinal = 1 where r.id = any(%s)",
            [run_ids],
        )  # fmt: skip
        # What a cell that failed left behind may be bought during this one.
        names = frozenset().union(*(stall.seller.subjects(row[0], row[-1]) for row in rows))
        payments = tuple(each for each in stall.payments()[before:] if each.subject in names)
        paid = collections.Counter(each.subject for each in payments)
        purchases = tuple(
            Purchase(
                state="succeeded" if run_state == "succeeded" else "failed" if run_state == "failed" else state,
                payments=sum(paid[name] for name in stall.seller.subjects(run_id, number)),
                charges=charges,
                is_at_rest=is_at_rest,
            )
            for run_id, run_state, state, charges, is_at_rest, number in rows
        )
        return Result(seller=stall.seller, purchases=purchases, payments=payments)


def _is_over(result: Result) -> bool:
    """Tell whether every purchase has come to its end, or to where a class without a look-up has to leave it."""
    kind = result.seller.kind
    return bool(result.purchases) and all(
        each.state in ("succeeded", "failed")
        or (each.state == "unknown" and kind == "C at most once" and each.is_at_rest)
        or (each.state == "unknown" and result.seller.may_rest_unpaid and not each.payments)
        for each in result.purchases
    )


def free_port() -> int:
    """Find a port that nobody listens on, below those that the system gives to outgoing connections.

    A door that is born again must find it free.
    """
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("of a hundred ports none is free")
