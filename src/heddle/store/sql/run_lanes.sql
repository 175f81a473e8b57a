-- Purpose: list the lanes in which runs and their open calls wait, with what they are made of. Caller: engine.operate, after lock_runs.
-- Rows: reads run and step. Index: keys. Locks: run (held). Bounded by the names that workflows use.
select r.lane, 'activation' as kind, r.workflow as name, r.version
from heddle_run r
where r.id = any(%(run_ids)s::uuid[])
group by r.lane, r.workflow, r.version
union all
select s.lane, s.kind, s.name, s.version
from heddle_step s
where s.run_id = any(%(run_ids)s::uuid[]) and s.kind in ('step', 'model') and s.finished_at is null
group by s.lane, s.kind, s.name, s.version
