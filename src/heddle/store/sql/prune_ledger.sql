-- Purpose: remove ledger rows past their time, oldest first, in small batches. Caller: store.retaining.
-- Rows: deletes ledger. Index: its key, which grows with its time. Locks: the rows it deletes.
delete from heddle_ledger g using (
  select id from heddle_ledger order by id limit %(limit)s
) o
where g.id = o.id and g.at < clock_timestamp() - make_interval(days => %(days)s)
