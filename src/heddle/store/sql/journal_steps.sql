-- Purpose: read the journals of claimed activations: digest and state of every call, the output only of awaited ones.
-- Caller: engine.activate; `ordinals` of `extra_runs` name further outputs that a first pass asked for.
-- Rows: reads step, no lock. Index: step's key.
select s.run_id, s.ordinal, s.kind, s.name, s.digest, s.state, s.fault,
  x.is_wanted as has_output, case when x.is_wanted then s.output end as output
from heddle_step s
join heddle_run r on r.id = s.run_id
cross join lateral (
  select s.kind = 'now' or s.ordinal = any(r.awaited) or s.ordinal = any(%(ordinals)s::int[]) and s.run_id = any(%(extra_runs)s::uuid[]) as is_wanted
) x
where s.run_id = any(%(run_ids)s::uuid[])
order by s.run_id, s.ordinal
