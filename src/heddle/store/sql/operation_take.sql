-- Purpose: take the oldest bulk operation that is not over, for one chunk. Caller: engine.operate, the leader.
-- Rows: reads operation. Locks: one row (skip locked: another leader may still be at it). Index: heddle_operation_open.
-- Nothing matches: there is nothing to do in bulk.
select id, tenant_id, action, priority, filter, cursor, until, queues, queue_seq, created_at
from heddle_operation
where state in ('queued', 'running')
order by created_at, id
limit 1
for no key update skip locked
