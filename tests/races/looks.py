"""Look at what a store holds, in words that every store can answer: what the shared suites need beyond the doors."""

import uuid
from typing import Any


class Looks:
    """Answer by SQL; a store without SQL answers in its own way."""

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """Look."""
        raise NotImplementedError

    def value(self, query: str, *parameters: Any) -> Any:
        """Look at one value."""
        return self.rows(query, *parameters)[0][0]

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        return int(self.value(f"select count(*) from heddle_{table}"))

    def charges(self) -> list[tuple[str, int]]:
        """Give what was charged, as (kind, amount)."""
        return [entry for entry in self.books() if entry[0] == "charge"]

    def books(self) -> list[tuple[str, int]]:
        """Give all that the ledger has, as (kind, amount), by attempt and kind."""
        query = "select kind, amount_nano_usd from heddle_ledger order by run_id, ordinal, number, kind"
        return [(kind, amount) for kind, amount in self.rows(query)]

    def estimated(self) -> int:
        """Count the charges that are estimates."""
        return int(self.value("select count(*) from heddle_ledger where is_estimated"))

    def all_runs(self) -> Any:
        """Give every run with all that is stored of it, to be compared with itself."""
        return self.rows("select * from heddle_run")

    def timer_in_s(self, kind: str) -> float:
        """Tell in how many seconds the only timer of a kind is due."""
        query = "select extract(epoch from due_at - clock_timestamp())::float8 from heddle_timer where kind = %s"
        return float(self.value(query, kind))

    def claim_id(self, run_id: uuid.UUID) -> uuid.UUID:
        """Give the claim that leased a run's only leased call."""
        found: uuid.UUID = self.value("select claim_id from heddle_lease where run_id = %s", run_id)
        return found

    def blame(self, run_id: uuid.UUID, fault: str) -> None:
        """Let a run have failed with a fault, which may be one that nobody knows."""
        query = "update heddle_run set error = jsonb_build_object('fault', %s::text, 'message', 'boom') where id = %s"
        self.rows(f"{query} returning 1", fault, run_id)

    def deadlines_now(self, *, only: uuid.UUID | None = None) -> None:
        """Let every deadline pass, or that of one run."""
        change = "update heddle_timer set due_at = now() - interval '1 second' where kind = 'deadline'"
        self.rows(f"{change} and run_id = coalesce(%s, run_id) returning 1", only)

    def forget(self, run_id: uuid.UUID) -> None:
        """Let a run have gone with its week, with all that is kept by its id."""
        for table, key in (("run", "id"), ("step", "run_id"), ("attempt", "run_id"), ("event", "run_id")):
            self.rows(f"delete from heddle_{table} where {key} = %s returning 1", run_id)
