-- Purpose: mark buffered signals as taken by the calls that waited for them. Caller: engine.schedule, after take_timers.
-- Rows: signal. Locks: run (held) -> signal. Index: signal's key.
update heddle_signal x set consumed_by = w.ordinal
from unnest(%(runs)s::uuid[], %(seqs)s::bigint[], %(ordinals)s::int[]) as w (run_id, seq, ordinal)
where x.run_id = w.run_id and x.seq = w.seq
