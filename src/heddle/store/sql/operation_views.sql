-- Purpose: show one bulk operation of a tenant. Caller: operators' operation. Rows: reads operation. Index: its key. Locks: none.
select id, action, priority, filter, state, actor, looked_at, matched, changed, unchanged, first, cursor, until, created_at, started_at,
  finished_at
from heddle_operation
where id = %(id)s and tenant_id = %(tenant_id)s
