-- Purpose: read the journals of claimed activations: digest and state of every call, the output only of calls that were awaited.
-- Caller: engine.activate. For `eager_runs`, whose first pass asked for an output it did not get, the outputs of all ended calls come along, in
--   order, up to `bytes_max` for each run, and those it asked for (`ordinals`) in any case: so a second pass is nearly always the last.
-- Of a run of heddle.map only the calls that have not succeeded: it needs no others, and may have made ten thousand.
-- Rows: reads step, no lock. Index: step's key. Locks: none.
select j.run_id, j.ordinal, j.kind, j.name, j.digest, j.state, j.fault, extract(epoch from j.finished_at)::float8 as ended_at_s,
  j.is_wanted as has_output,
  case when j.is_wanted then (select s.output from heddle_step s where s.run_id = j.run_id and s.ordinal = j.ordinal) end as output
from (
  select s.run_id, s.ordinal, s.kind, s.name, s.digest, s.state, s.fault, s.finished_at,
    s.kind = 'now' or s.ordinal = any(r.awaited) or (
      e.run_id is not null and s.state = 'succeeded' and (
        s.ordinal = any(%(ordinals)s::int[])
        or sum(case when e.run_id is not null then pg_column_size(s.output) else 0 end) over (partition by s.run_id order by s.ordinal)
          <= %(bytes_max)s
      )
    ) as is_wanted
  from (select r.id, r.workflow, r.awaited from heddle_run r where r.id = any(%(run_ids)s::uuid[]) offset 0) r
  cross join lateral (
    select s.run_id, s.ordinal, s.kind, s.name, s.digest, s.state, s.fault, s.finished_at, s.output from heddle_step s where s.run_id = r.id offset 0
  ) s
  left join unnest(%(eager_runs)s::uuid[]) as e (run_id) on e.run_id = s.run_id
  where not (r.workflow = 'heddle.map' and s.state = 'succeeded')
) j
order by j.run_id, j.ordinal
