-- Purpose: move what is in line in one queue and belongs into another since its run was reprioritised, a stretch of the queue at a time.
-- Caller: engine.operate, after requeue_lock in the same transaction. Rows: updates ready; reads step and run without a lock.
-- Locks in order: advisory (lane, tenant), the queue's only mutex: no claim reads it meanwhile; then ready. Index: ready's key.
-- A row is put at the end of its new queue, since claims begin where that queue was a moment ago. Nothing left: looked_at is 0.
with page as materialized (
  select y.ctid as tid, y.seq, y.run_id, y.ordinal
  from heddle_ready y
  where y.lane = %(lane)s and y.tenant_id = %(tenant_id)s and y.seq > %(seq)s
  order by y.lane, y.tenant_id, y.seq
  limit %(limit)s
), belongs as materialized (
  select p.tid, case when p.ordinal = 0 then r.lane else s.lane end as lane
  from page p
  cross join lateral (select r.lane from heddle_run r where r.id = p.run_id offset 0) r
  left join lateral (select s.lane from heddle_step s where s.run_id = p.run_id and s.ordinal = p.ordinal offset 0) s on true
), moved as (
  update heddle_ready y set lane = b.lane, seq = nextval('heddle_ready_seq')
  from belongs b
  where y.ctid = any(array(select tid from belongs where lane <> %(lane)s)) and y.ctid = b.tid
  returning 1
)
select (select count(*) from page)::int as looked_at, (select max(seq) from page) as last, (select count(*) from moved)::int as moved
