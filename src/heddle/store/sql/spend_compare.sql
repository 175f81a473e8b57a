-- Purpose: show what was metered and what providers report, by endpoint and day. Callers: engine.books (the leader), `heddle spend show`, doors.
-- Rows: reads endpoint, spend_day, spend_reported of %(days)s days. Indexes: spend_day's endpoint, spend_reported's key. Locks: none.
-- An account that an endpoint does not name is unknown, where it names any. Free endpoints without a report are left out.
-- Nothing matches: nothing was metered or reported.
with since as materialized (
  select (clock_timestamp() at time zone 'UTC')::date - %(days)s::int as day
), metered as (
  select d.endpoint_id, d.day, sum(d.calls) as calls, sum(d.charged_nano_usd + d.adjusted_nano_usd - d.refunded_nano_usd) as nano_usd
  from heddle_spend_day d join since s on d.day > s.day
  group by d.endpoint_id, d.day
), reported as (
  select p.endpoint_id, p.day, sum(p.amount_nano_usd) as nano_usd,
    coalesce(sum(p.amount_nano_usd) filter (where not p.account = any(e.spend_accounts)), 0) as unknown_nano_usd
  from heddle_spend_reported p
  join since s on p.day > s.day
  join heddle_endpoint e on e.id = p.endpoint_id
  group by p.endpoint_id, p.day
)
select e.name, coalesce(m.day, p.day) as day, coalesce(m.calls, 0)::bigint as calls, coalesce(m.nano_usd, 0)::bigint as metered,
  p.nano_usd::bigint as reported, coalesce(p.unknown_nano_usd, 0)::bigint as unknown
from metered m
full join reported p on p.endpoint_id = m.endpoint_id and p.day = m.day
join heddle_endpoint e on e.id = coalesce(m.endpoint_id, p.endpoint_id)
order by e.name, day
