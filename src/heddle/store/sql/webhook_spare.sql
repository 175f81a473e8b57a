-- Purpose: note that addresses which said they are gone are still written to, so that outbox_prune does not forget them.
-- Caller: engine.deliver, after outbox_write in the same transaction, for events that were not sent for this reason.
-- Rows: reads outbox, updates webhook_disabled, each once a day at most. Locks: its rows, by key (skip locked: whoever has one notes the same, or
--   enables it). Indexes: keys. Nothing matches: it is noted already, or was enabled since.
update heddle_webhook_disabled g set at = clock_timestamp()
from (
  select d.tenant_id, d.url
  from unnest(%(run_ids)s::uuid[], %(seqs)s::int[]) as w (run_id, seq)
  join heddle_outbox o on o.run_id = w.run_id and o.seq = w.seq
  join heddle_webhook_disabled d on d.tenant_id = o.tenant_id and d.url = o.url
  where d.at < clock_timestamp() - interval '1 day'
  order by d.tenant_id, d.url
  for no key update of d skip locked
) x
where g.tenant_id = x.tenant_id and g.url = x.url
