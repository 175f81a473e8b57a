-- Purpose: count webhook events that are not delivered, each kind to a limit, and tell how long one has been due that nobody took, where its
--   receiver is not left alone and it waits for no earlier end of its run. Caller: engine.deliver, the leader.
-- Rows: reads outbox, receiver. Indexes: heddle_outbox_due, heddle_outbox_lost, key. Locks: none.
select
  (select count(*) from (select 1 from heddle_outbox where state = 'due' limit %(limit)s) d)::int as due,
  (select count(*) from (select 1 from heddle_outbox where state = 'dead' limit %(limit)s) d)::int as dead,
  (select count(*) from (select 1 from heddle_outbox where state = 'disabled' limit %(limit)s) d)::int as disabled,
  (select extract(epoch from clock_timestamp() - o.next_at)::float8 from (
      select tenant_id, receiver, next_at, run_id, seq from heddle_outbox
      where state = 'due' and next_at < clock_timestamp() order by next_at limit %(limit)s) o
    where not exists (select 1 from heddle_receiver h where h.tenant_id = o.tenant_id and h.receiver = o.receiver and h.failures > 0)
      and not exists (select 1 from heddle_outbox p where p.run_id = o.run_id and p.seq < o.seq and p.state = 'due')
    order by o.next_at limit 1) as overdue_s
