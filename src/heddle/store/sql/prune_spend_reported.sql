-- Purpose: remove what providers reported of days past the time of the ledger that it is compared with, in small batches.
-- Caller: store.retaining. Rows: deletes spend_reported. Index: its key, read from one endpoint to the next. Locks: the rows it deletes.
-- Nothing matches: every day is within its time.
with recursive seen (endpoint_id) as (
  (select d.endpoint_id from heddle_spend_reported d order by d.endpoint_id limit 1)
  union all
  select n.endpoint_id from seen s
  cross join lateral (
    select d.endpoint_id from heddle_spend_reported d where d.endpoint_id > s.endpoint_id order by d.endpoint_id limit 1
  ) n
), past as materialized (
  select o.* from seen s
  cross join lateral (
    select d.endpoint_id, d.day, d.account from heddle_spend_reported d
    where d.endpoint_id = s.endpoint_id and d.day < (clock_timestamp() at time zone 'UTC')::date - %(days)s::int
    order by d.day, d.account limit %(limit)s
  ) o
  limit %(limit)s
)
delete from heddle_spend_reported d using past p
where d.endpoint_id = p.endpoint_id and d.day = p.day and d.account = p.account
