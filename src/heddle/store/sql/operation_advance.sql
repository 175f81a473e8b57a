-- Purpose: note how far a bulk operation has come, in the transaction that did the work: a crash repeats nothing and leaves nothing out.
-- Caller: engine.operate, after operation_take. Rows: updates operation. Locks: that row (held). Index: its key.
update heddle_operation set
  cursor = %(cursor)s, looked_at = looked_at + %(looked_at)s, matched = matched + %(matched)s, changed = changed + %(changed)s,
  unchanged = unchanged + %(unchanged)s, queues = %(queues)s::bigint[], queue_seq = %(queue_seq)s,
  state = case when %(is_over)s then 'done' else 'running' end, started_at = coalesce(started_at, clock_timestamp()),
  finished_at = case when %(is_over)s then clock_timestamp() end
where id = %(id)s
returning changed
