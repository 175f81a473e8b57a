-- Purpose: list the lanes of what ended badly in runs and shares results, with what they are made of. Caller: whoever retries runs, after lock_runs.
-- Rows: reads run and step. Index: keys. Locks: run (held). Nothing matches: no call of the runs shares results.
select s.lane, s.name, s.version, r.priority
from heddle_run r
join heddle_step s on s.run_id = r.id
where r.id = any(%(run_ids)s::uuid[]) and s.kind = 'model' and s.options ? 'reuse' and s.state in ('failed', 'cancelled', 'skipped')
group by s.lane, s.name, s.version, r.priority
order by s.lane, s.name, s.version, r.priority
