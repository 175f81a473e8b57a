-- Purpose: let a timer that is due, and that by itself could not be carried out, be due later, so that those behind it come in their turn.
-- Caller: store.timing, in a transaction of its own. Rows: updates one timer.
-- Locks: that timer and nothing else: the run may be what could not be locked, and who holds one row only waits in no circle.
-- Index: timer's key. Nothing matches: somebody carried it out, or moved it, meanwhile.
update heddle_timer set due_at = clock_timestamp() + make_interval(secs => %(delay_s)s)
where run_id = %(run_id)s and ordinal = %(ordinal)s and kind = %(kind)s and due_at <= clock_timestamp()
returning 1
