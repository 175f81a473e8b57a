-- Purpose: note that functions ended without a value, and let go of their activations' leases; stop follows in the same transaction.
-- Caller: engine.activate. Rows: lease, run. Locks: run (held) -> lease. Indexes: keys.
with gone as (
  delete from heddle_lease l
  using unnest(%(run_ids)s::uuid[], %(fences)s::bigint[]) as w (run_id, fence)
  where l.run_id = w.run_id and l.ordinal = 0 and l.fence = w.fence
  returning l.run_id
)
update heddle_run r set function_state = 'raised', started_at = coalesce(r.started_at, clock_timestamp())
from gone g where r.id = g.run_id
