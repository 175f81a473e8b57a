-- Purpose: remove webhook events that have been over for long, receivers that have been well or silent for a day, and addresses that said they are
--   gone and that no event was for since (webhook_spare), such as those of one run each; in small batches.
-- Caller: engine.deliver, the leader. Rows: deletes outbox, receiver, webhook_disabled. Index: heddle_outbox_ended; the others are small.
-- Locks: the rows it deletes (skip locked). An address that a run still has, forgotten here, is tried once more, and noted again when it is gone.
with old as (
  delete from heddle_outbox o using (
    select run_id, seq from heddle_outbox
    where state <> 'due' and ended_at < clock_timestamp() - make_interval(days => %(days)s)
    order by ended_at limit %(limit)s
    for update skip locked
  ) x
  where o.run_id = x.run_id and o.seq = x.seq
  returning 1
), well as (
  delete from heddle_receiver h using (
    select tenant_id, receiver from heddle_receiver
    where hold_until < clock_timestamp() and (failures = 0 or at < clock_timestamp() - interval '2 days')
    limit %(limit)s
    for update skip locked
  ) x
  where h.tenant_id = x.tenant_id and h.receiver = x.receiver
  returning 1
), unused as (
  delete from heddle_webhook_disabled d using (
    select tenant_id, url from heddle_webhook_disabled
    where at < clock_timestamp() - make_interval(days => %(days)s)
    limit %(limit)s
    for update skip locked
  ) x
  where d.tenant_id = x.tenant_id and d.url = x.url
  returning 1
)
select (select count(*) from old)::int + (select count(*) from well)::int + (select count(*) from unused)::int as removed
