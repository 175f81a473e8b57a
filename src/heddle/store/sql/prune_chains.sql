-- Purpose: forget chains whose newest run has gone with its week, oldest first, in small batches. Caller: store.retaining.
-- Rows: deletes chain; reads run for those whose newest is as old as runs become, by key. Index: chain's key, read in its order.
-- Locks: the rows, passing over those that others hold: who holds one takes its chain further.
delete from heddle_chain c using (
  select d.first from heddle_chain d
  where d.last < %(before)s::uuid and not exists (select 1 from heddle_run r where r.id = d.last offset 0)
  order by d.first
  limit %(limit)s
  for update of d skip locked
) o
where c.first = o.first
