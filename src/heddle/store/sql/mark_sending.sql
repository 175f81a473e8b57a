-- Purpose: make the intent of paid calls durable before their sockets open. Caller: engine.execute; one synchronous commit for a batch.
-- Rows: attempt. A row comes back for each call that may be sent now: its lease still stands and its send_by has not passed.
-- Locks: attempt. Indexes: keys of attempt and lease. Nothing matches: not to be sent.
update heddle_attempt a set state = 'sending', sent_at = coalesce(a.sent_at, clock_timestamp()), request_digest = w.digest
from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(numbers)s::int[], %(fences)s::bigint[], %(digests)s::text[])
  as w (run_id, ordinal, number, fence, digest)
where a.run_id = w.run_id and a.ordinal = w.ordinal and a.number = w.number and a.state = 'reserved' and a.send_by > clock_timestamp()
  and exists (select 1 from heddle_lease l where l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence)
returning a.run_id, a.ordinal, a.number
