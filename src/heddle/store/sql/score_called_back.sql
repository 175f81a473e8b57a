-- Purpose: tell for which of a worker's jobs that have ended the provider has called back. Caller: engine.load, when their grace is over.
-- Rows: reads attempt. Index: its key. Locks: none. Nothing matches: nobody called, or the week is gone.
select w.run_id, w.ordinal, w.number
from unnest(%(run_ids)s::uuid[], %(ordinals)s::int[], %(numbers)s::int[]) as w (run_id, ordinal, number)
cross join lateral (
  select a.called_back_at from heddle_attempt a where a.run_id = w.run_id and a.ordinal = w.ordinal and a.number = w.number offset 0
) a
where a.called_back_at is not null
order by w.run_id, w.ordinal, w.number
