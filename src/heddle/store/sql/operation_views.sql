-- Purpose: show one bulk operation of a tenant, and why it was stopped. Caller: operators' operation. Rows: reads operation, audit.
-- Indexes: operation's key, heddle_audit_subject. Locks: none.
select o.id, o.action, o.priority, o.filter, o.state, o.actor, o.looked_at, o.matched, o.changed, o.unchanged, o.first, o.cursor, o.until,
  o.created_at, o.started_at, o.finished_at,
  case when o.state = 'stopped' then (
    select coalesce(a.after ->> 'reason', 'it was stopped by hand') from heddle_audit a
    where a.subject = 'operation ' || o.id and a.action in ('operation.fail', 'operation.stop')
    order by a.id
    limit 1
  ) end as reason
from heddle_operation o
where o.id = %(id)s and o.tenant_id = %(tenant_id)s
