-- Purpose: keep what a provider reports for an endpoint, by day and account; a later import of the same day replaces it. Caller: doors' import.
-- Rows: upserts spend_reported. Index: its key. Locks: those rows, by key. Nothing matches: there is no endpoint of this name.
insert into heddle_spend_reported (endpoint_id, day, account, amount_nano_usd, source)
select e.id, x.day, x.account, x.amount, %(source)s
from unnest(%(days)s::date[], %(accounts)s::text[], %(amounts)s::bigint[]) as x (day, account, amount)
join heddle_endpoint e on e.name = %(endpoint)s
order by x.day, x.account
on conflict (endpoint_id, day, account) do update set amount_nano_usd = excluded.amount_nano_usd, source = excluded.source,
  at = clock_timestamp()
returning endpoint_id
