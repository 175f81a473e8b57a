-- Purpose: show what happened to a run after a point. Caller: doors' events. Rows: reads event. Index: its key. Locks: none.
select seq, name, ordinal, at, detail from heddle_event
where run_id = %(run_id)s and seq > %(after_seq)s
order by seq
limit %(limit)s
