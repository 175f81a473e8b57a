-- Purpose: remove finished bulk operations past their time, in small batches; the audit trail keeps that they were. Caller: store.retaining.
-- Rows: deletes operation. Index: none; few rows. Locks: the rows it deletes.
delete from heddle_operation p using (
  select id from heddle_operation
  where state in ('done', 'stopped') and finished_at < clock_timestamp() - make_interval(days => %(days)s) order by id limit %(limit)s
) o
where p.id = o.id
