-- Purpose: show what ended in failure and can be replayed, newest first: runs with their failed calls. Caller: operators' dead_letters.
-- Rows: reads run and step. Index: heddle_run_failed (tenant_id, id), step's key. Bounded by limit, and 20 calls a run. Locks: none.
select r.id, r.workflow, r.version, r.state, r.error, r.labels, r.created_at, r.finished_at,
  (select json_agg(x) from (
    select s.ordinal, s.kind, s.name, s.fault, s.attempts, s.finished_at from heddle_step s
    where s.run_id = r.id and s.state = 'failed' order by s.ordinal limit 20) x) as calls
from heddle_run r
where r.tenant_id = %(tenant_id)s and r.state in ('failed', 'expired') and r.id < %(before)s::uuid
  and (%(workflow)s::text is null or r.workflow = %(workflow)s::text)
  and (%(fault)s::text is null or r.error ->> 'fault' = %(fault)s::text)
order by r.id desc
limit %(limit)s
