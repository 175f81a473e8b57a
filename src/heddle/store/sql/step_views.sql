-- Purpose: show the calls of a run after an ordinal, in order. Caller: doors' steps. Rows: reads step, lease, timer. Indexes: their keys.
-- Bounded by limit. Locks: none.
select s.ordinal, s.kind, s.name, s.state, l.fence is not null as is_leased, s.parents, s.input, s.output, s.fault, s.note, s.created_at,
  t.due_at, s.finished_at, s.cost_nano_usd, s.child_run, s.options -> 'reused' as reused
from heddle_step s
left join heddle_lease l on l.run_id = s.run_id and l.ordinal = s.ordinal
left join lateral (
  select min(due_at) as due_at from heddle_timer m where m.run_id = s.run_id and m.ordinal = s.ordinal
) t on true
where s.run_id = %(run_id)s and s.ordinal > %(after)s
order by s.ordinal
limit %(limit)s
