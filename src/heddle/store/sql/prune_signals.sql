-- Purpose: remove signals of the runs of a week that is being dropped, in small batches. Caller: store.retaining.
-- Rows: deletes signal. Index: its key. Locks: the rows it deletes.
delete from heddle_signal x using (
  select run_id, seq from heddle_signal where run_id >= %(low)s and run_id < %(high)s order by run_id, seq limit %(limit)s
) o
where x.run_id = o.run_id and x.seq = o.seq
