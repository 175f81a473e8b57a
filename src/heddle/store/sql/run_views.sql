-- Purpose: show runs of a tenant, newest first; one when run_id is given. Callers: doors' run and runs. Rows: reads run, chain, step, attempt.
-- Indexes: run's key and (tenant_id, id); the keys of the others. Bounded by limit. Locks: none.
select r.id, r.workflow, r.version, r.priority, r.state, r.state = 'queued' and exists (select 1 from heddle_lease l where l.run_id = r.id and l.ordinal = 1) as is_taken, r.labels, r.error, r.is_degraded, r.cost_nano_usd, r.created_at,
  r.started_at, r.finished_at, r.deadline_at, r.cancel_requested_at, r.parent_run, r.parent_ordinal, r.traceparent,
  case when %(is_full)s then r.input end as input, case when %(is_full)s then r.shape end as shape,
  case when %(is_full)s then (select json_object_agg(o.ordinal, o.output) from heddle_step o where o.run_id = r.id and o.ordinal = any(r.refs))
    end as outputs,
  r.continued_from, r.continued_as,
  case when r.continued_as is not null then
-- include: newest
  end as continued_last,
  c.total, c.done, c.running, c.waiting, c.failed, c.attempts, c.retries, r.is_activation_due, c.unknown,
  case when r.is_degraded then (select coalesce(sum(a.cost_nano_usd - a.primary_price_nano_usd), 0)::bigint from heddle_attempt a
    where a.run_id = r.id and a.tier > 0 and a.cost_nano_usd is not null) else 0 end as price_difference_nano_usd
from heddle_run r
cross join lateral (
  select count(*) as total,
    count(*) filter (where s.state in ('succeeded', 'skipped', 'cancelled')) as done,
    count(*) filter (where s.state in ('due', 'pending')) as running,
    count(*) filter (where s.state in ('blocked', 'waiting', 'unknown')) as waiting,
    count(*) filter (where s.state = 'failed') as failed,
    count(*) filter (where s.state = 'unknown') as unknown,
    coalesce(sum(s.attempts), 0) as attempts,
    coalesce(sum(greatest(s.attempts - 1, 0)), 0) as retries
  from heddle_step s
  where s.run_id = r.id
) c
where r.tenant_id = %(tenant_id)s
  and (%(run_id)s::uuid is null or r.id = %(run_id)s::uuid)
  and (%(before)s::uuid is null or r.id < %(before)s::uuid)
  and (%(workflow)s::text is null or r.workflow = %(workflow)s::text)
  and (%(state)s::text is null or r.state = %(state)s::text)
  and (%(label)s::jsonb is null or r.labels @> %(label)s::jsonb)
  and (%(created_after)s::timestamptz is null or r.created_at >= %(created_after)s::timestamptz)
  and (%(created_before)s::timestamptz is null or r.created_at < %(created_before)s::timestamptz)
order by r.id desc
limit %(limit)s
