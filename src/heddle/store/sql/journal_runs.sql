-- Purpose: read the runs whose activations were claimed. Caller: engine.activate. Rows: reads run, no lock. Index: run's key. Locks: none.
select id, workflow, version, input, patches, wake_seq, stopping, stop_ordinal, awaited, state, priority, tenant_id, traceparent, planned,
  extract(epoch from clock_timestamp())::float8 as now_s
from heddle_run
where id = any(%(run_ids)s::uuid[])
order by id
