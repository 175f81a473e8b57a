-- Purpose: show the attempts of a page of a run's calls. Caller: doors' steps. Rows: reads attempt, step, endpoint, worker. Indexes: keys.
-- Bounded by the calls of the page (after < ordinal <= last) and the attempts each may have. Locks: none.
-- A local step that succeeded at once has no attempt row: its step row says the same.
select a.ordinal, a.number, e.name as endpoint, w.name as worker, a.state, a.handle, a.fault, a.cost_nano_usd, a.started_at, a.sent_at, a.finished_at,
  a.tier, case when a.tier > 0 then a.cost_nano_usd - a.primary_price_nano_usd end as price_difference_nano_usd
from (
  select ordinal, number, endpoint_id, worker_id, state, handle, fault, cost_nano_usd, started_at, sent_at, finished_at, tier,
    primary_price_nano_usd
  from heddle_attempt
  where run_id = %(run_id)s and ordinal > %(after)s and ordinal <= %(last)s
  union all
  select s.ordinal, 1, null, s.worker_id, 'done', null, null, null, s.started_at, null, s.finished_at, 0, null
  from heddle_step s
  where s.run_id = %(run_id)s and s.ordinal > %(after)s and s.ordinal <= %(last)s and s.kind = 'step' and s.state = 'succeeded' and s.attempts = 1 and s.started_at is not null
    and not exists (select 1 from heddle_attempt t where t.run_id = s.run_id and t.ordinal = s.ordinal)
) a
left join heddle_endpoint e on e.id = a.endpoint_id
left join heddle_worker w on w.id = a.worker_id
order by a.ordinal, a.number
