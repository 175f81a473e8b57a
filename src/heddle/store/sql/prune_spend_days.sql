-- Purpose: remove sums of days past the time of the ledger that they add up, oldest of each endpoint first, in small batches.
-- Caller: store.retaining. Rows: deletes spend_day. Index: its endpoint and day, read from one endpoint to the next, so that what is young is
--   not looked at. Locks: the rows it deletes. Nothing matches: every day is within its time.
with recursive seen (endpoint_id) as (
  (select d.endpoint_id from heddle_spend_day d order by d.endpoint_id limit 1)
  union all
  select n.endpoint_id from seen s
  cross join lateral (
    select d.endpoint_id from heddle_spend_day d where d.endpoint_id > s.endpoint_id order by d.endpoint_id limit 1
  ) n
), past as materialized (
  select o.* from seen s
  cross join lateral (
    select d.tenant_id, d.day, d.workflow, d.model, d.endpoint_id from heddle_spend_day d
    where d.endpoint_id = s.endpoint_id and d.day < (clock_timestamp() at time zone 'UTC')::date - %(days)s::int
    order by d.day limit %(limit)s
  ) o
  limit %(limit)s
)
delete from heddle_spend_day d using past p
where d.tenant_id = p.tenant_id and d.day = p.day and d.workflow = p.workflow and d.model = p.model and d.endpoint_id = p.endpoint_id
