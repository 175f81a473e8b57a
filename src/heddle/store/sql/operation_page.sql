-- Purpose: look at the next runs of a tenant in order of their ids, and tell which of them an operation means.
-- Callers: engine.operate (one page a transaction), operators' preview. Rows: reads run. Index: run's (tenant_id, id). Locks: none.
-- A run that was open when the operation was asked for (`open_since`) and has gone on as another since is meant too.
-- A page ends after the run with which those that are meant have `calls` calls together: each is work.
-- Nothing left: looked_at is 0. The filter is applied to the page, so that a filter that matches little never looks at everything at once.
with page as materialized (
  select r.id, r.state, r.workflow, r.labels, r.error, r.created_at, r.priority, r.continued_as, r.finished_at, r.planned
  from heddle_run r
  where r.tenant_id = %(tenant_id)s and r.id > %(cursor)s::uuid and r.id < %(until)s::uuid
  order by r.tenant_id, r.id
  limit %(limit)s
), told as materialized (
  select p.id, p.planned, coalesce((p.state = any(%(states)s::text[])
      or p.continued_as is not null and p.finished_at >= %(open_since)s::timestamptz and 'running' = any(%(states)s::text[]))
    and (%(workflow)s::text is null or p.workflow = %(workflow)s::text)
    and (%(label)s::jsonb is null or p.labels @> %(label)s::jsonb)
    and (%(created_after)s::timestamptz is null or p.created_at >= %(created_after)s::timestamptz)
    and (%(created_before)s::timestamptz is null or p.created_at < %(created_before)s::timestamptz)
    and (%(fault)s::text is null or p.error ->> 'fault' = %(fault)s::text)
    and (%(run_ids)s::uuid[] is null or p.id = any(%(run_ids)s::uuid[]))
    and (%(priority)s::text is null or p.priority <> %(priority)s::text), false) as is_meant
  from page p
), kept as materialized (
  select t.id, t.is_meant from (
    select t.id, t.is_meant, sum(t.planned) filter (where t.is_meant) over (order by t.id rows unbounded preceding)
      - case when t.is_meant then t.planned else 0 end as before
    from told t
  ) t
  where %(calls)s::int is null or coalesce(t.before, 0) < %(calls)s::int
)
select count(*)::int as looked_at, (array_agg(k.id order by k.id desc))[1] as last,
  array_agg(k.id order by k.id) filter (where k.is_meant) as matched,
  (select count(*) from page) < %(limit)s and count(*) = (select count(*) from page) as is_end
from kept k
