-- Purpose: end a bulk operation that fails again and again; the audit trail has why, and operation_views reads it there.
-- Caller: engine.operate, the leader. Rows: updates operation, inserts audit. Locks: that row of operation. Index: its key.
-- Nothing matches: it is over already; nothing is written.
with ended as (
  update heddle_operation set state = 'stopped', finished_at = clock_timestamp()
  where id = %(id)s and state in ('queued', 'running')
  returning id
), told as (
  insert into heddle_audit (actor, action, subject, before, after)
  select %(actor)s, 'operation.fail', 'operation ' || x.id, null, jsonb_build_object('state', 'stopped', 'reason', %(reason)s::text)
  from ended x
)
select count(*)::int as ended from ended
