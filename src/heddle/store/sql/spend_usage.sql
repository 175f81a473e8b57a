-- Purpose: show what a tenant has spent, by any of day, workflow, model and endpoint, a page at a time. Caller: doors' usage.
-- Rows: reads spend_day of one tenant's days, endpoint. Index: spend_day's key. Locks: none. What is not asked for is one empty group.
-- Nothing matches: nothing was paid in these days, or the page before was the last.
select g.day, g.workflow, g.model, g.endpoint_id, coalesce(e.name, ''), g.calls, g.estimates, g.reserved, g.released, g.charged, g.refunded, g.adjusted
from (
  select case when %(by_day)s then d.day else %(first)s::date end as day,
    case when %(by_workflow)s then d.workflow else '' end as workflow,
    case when %(by_model)s then d.model else '' end as model,
    case when %(by_endpoint)s then d.endpoint_id else 0 end as endpoint_id,
    sum(d.calls)::bigint as calls, sum(d.estimates)::bigint as estimates, sum(d.reserved_nano_usd)::bigint as reserved,
    sum(d.released_nano_usd)::bigint as released, sum(d.charged_nano_usd)::bigint as charged, sum(d.refunded_nano_usd)::bigint as refunded,
    sum(d.adjusted_nano_usd)::bigint as adjusted
  from heddle_spend_day d
  where d.tenant_id = %(tenant_id)s and d.day between %(first)s::date and %(last)s::date
  group by 1, 2, 3, 4
) g
left join heddle_endpoint e on e.id = g.endpoint_id
where not %(is_next)s or (g.day, g.workflow, g.model, g.endpoint_id)
  > (%(after_day)s::date, %(after_workflow)s::text, %(after_model)s::text, %(after_endpoint)s::int)
order by g.day, g.workflow, g.model, g.endpoint_id
limit %(limit)s
