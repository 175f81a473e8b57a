-- Purpose: take a bulk operation that is not over, for one chunk: of each tenant the oldest, of these the one that has looked at the fewest runs,
--   so that nobody's waits for the end of another's. Caller: engine.operate, the leader.
-- Rows: reads operation. Locks: one row (skip locked: another leader may still be at it). Index: heddle_operation_open.
-- Nothing matches: there is nothing to do in bulk.
select o.id, o.tenant_id, o.action, o.priority, o.filter, o.cursor, o.until, o.queues, o.queue_seq, o.created_at
from heddle_operation o
where o.state in ('queued', 'running') and not exists (
  select 1 from heddle_operation p
  where p.state in ('queued', 'running') and p.tenant_id = o.tenant_id and (p.created_at, p.id) < (o.created_at, o.id))
order by o.looked_at, o.created_at, o.id
limit 1
for no key update of o skip locked
