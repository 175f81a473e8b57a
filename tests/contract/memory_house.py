"""Stand where the suites expect a database: a house whose store is in memory."""

import copy
import random
import time
import types
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from heddle.config import deployment
from heddle.core.policy import price
from heddle.testing.memory import deploying
from heddle.testing.memory import store as memory_store
from tests.races import scene


class MemoryHouse(scene.House):
    """Hold a store in memory with its deployment."""

    def __init__(self) -> None:
        memory = memory_store.Memory(now_s=lambda: time.time() + self.ahead_s, rng=random.Random(1), is_undoing=True)
        super().__init__(database=None, connection=None, store=memory_store.MemoryStore(memory, send_window_s=5.0))
        self.ahead_s = 0.0
        self.memory = memory
        self.tables = memory.tables

    def deploy(
        self,
        endpoints: Sequence[deployment.Endpoint],
        routes: Sequence[deployment.Route],
        *,
        scopes: Sequence[deployment.Scope] = (),
        models: Sequence[deployment.Model] = (),
        tenants: Sequence[deployment.Tenant] = (),
        workflows: Sequence[deployment.Workflow] = (),
        prices: Mapping[tuple[str, str], price.Expected] = types.MappingProxyType({}),
    ) -> None:
        """Write a deployment."""
        wanted = deployment.Deployment(
            models={item.name: item for item in models},
            endpoints={item.name: item for item in endpoints},
            scopes={item.name: item for item in scopes},
            routes=tuple(routes),
            tenants={item.name: item for item in tenants},
            workflows={item.name: item for item in workflows},
        )
        self.memory.deploy(wanted, prices=prices)

    def doors(self) -> memory_store.MemoryDoors:
        """Give the doors."""
        return memory_store.MemoryDoors(self.memory, cleanup_s=scene.CLEANUP_S, signals_max=scene.SIGNALS_MAX)

    def pause(self, kind: str, name: str) -> None:
        """Pause an endpoint, a model or a tenant, as an operator does."""
        before = {"before": None} if kind == "model" else {}
        deploying.STATEMENTS[f"pause_{kind}"](self.tables, name=name, is_paused=True, **before)

    def due_now(self) -> None:
        """Let the time of every timer come; a second passes, as nothing here takes any time by itself."""
        self.ahead_s += 1.0
        for key in self.tables.timers:
            self.tables.timers[key] = self.tables.now_s() - 1.0

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead_s += seconds

    def deadlines_now(self, *, only: uuid.UUID | None = None) -> None:
        """Let every deadline pass, or that of one run."""
        for key in self.tables.timers:
            if key[2] == "deadline" and only in (None, key[0]):
                self.tables.timers[key] = self.tables.now_s() - 1.0

    def blame(self, run_id: uuid.UUID, fault: str) -> None:
        """Let a run have failed with a fault, which may be one that nobody knows."""
        self.tables.runs[run_id].error = {"fault": fault, "message": "boom"}

    def forget(self, run_id: uuid.UUID) -> None:
        """Let a run have gone with its week."""
        del self.tables.runs[run_id]

    def outdate_results(self) -> None:
        """Let the time of every result be over: what has ended, ended a year ago."""
        for row in self.tables.runs.values():
            for step in row.steps.values():
                for ended in (step, *step.tries.values()):
                    ended.finished_at = None if ended.finished_at is None else ended.finished_at - 365 * 86_400.0

    def silence(self, worker: int, *, hours: float = 1.0) -> None:
        """Let a worker have been silent for so long."""
        self.tables.workers[worker].seen_at -= hours * 3_600.0

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        tables = self.tables
        found = {
            "run": tables.runs,
            "timer": tables.timers,
            "slot": tables.slots,
            "idempotency": tables.idempotency,
        }
        return len(found[table])

    def charges(self) -> list[tuple[str, int]]:
        """Give what was charged."""
        return [entry for entry in self.books() if entry[0] == "charge"]

    def books(self) -> list[tuple[str, int]]:
        """Give all that the ledger has, by attempt and kind."""
        return [(key[3], entry.amount) for key, entry in sorted(self.tables.ledger.items())]

    def estimated(self) -> int:
        """Count the charges that are estimates."""
        return sum(entry.is_estimated for entry in self.tables.ledger.values())

    def all_runs(self) -> Any:
        """Give every run as it is now."""
        return copy.deepcopy(self.tables.runs)

    def timer_in_s(self, kind: str) -> float:
        """Tell in how many seconds the only timer of a kind is due."""
        (due_at,) = [due_at for key, due_at in self.tables.timers.items() if key[2] == kind]
        return due_at - self.tables.now_s()

    def claim_id(self, run_id: uuid.UUID) -> uuid.UUID:
        """Give the claim that leased a run's only leased call."""
        (found,) = [lease.claim_id for lease in self.tables.leases.values() if lease.run_id == run_id]
        return found
