-- Purpose: tell for which of a worker's jobs that have ended the provider has called back. Caller: engine.load, when their grace is over.
-- One that came to an account's one address after its call's end was noted as a stray, under the job's handle.
-- Rows: reads attempt and stray. Index: their keys. Locks: none. Nothing matches: nobody called, or the week is gone.
select w.run_id, w.ordinal, w.number
from unnest(%(run_ids)s::uuid[], %(ordinals)s::int[], %(numbers)s::int[]) as w (run_id, ordinal, number)
cross join lateral (
  select a.called_back_at, a.endpoint_id, a.handle
  from heddle_attempt a where a.run_id = w.run_id and a.ordinal = w.ordinal and a.number = w.number offset 0
) a
where a.called_back_at is not null or exists (select 1 from heddle_stray y where y.endpoint_id = a.endpoint_id and y.handle = a.handle)
order by w.run_id, w.ordinal, w.number
