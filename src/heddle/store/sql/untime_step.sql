-- Purpose: remove the timers of a step that an operator has decided. Caller: operators' settle_unknown, before settle in the same transaction.
-- Rows: deletes timer. Locks: run (held) -> timer. Index: its key.
delete from heddle_timer where run_id = %(run_id)s and ordinal = %(ordinal)s and kind in ('reconcile', 'poll')
