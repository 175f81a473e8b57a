-- Purpose: show what happened to a run after a point. Caller: doors' events. Rows: reads event, run. Indexes: keys. Locks: none.
-- A run's first event is its own row: that it was queued, and when. A row named `batch` holds several events, `seq` being that of its last.
select seq, name, ordinal, at, detail from (
  select 1 as seq, 'run.queued' as name, null::int as ordinal, r.created_at as at, null::jsonb as detail
  from heddle_run r
  where r.id = %(run_id)s and %(after_seq)s < 1 and not exists (select 1 from heddle_event e where e.run_id = r.id and e.seq = 1)
  union all
  select seq, name, ordinal, at, detail from heddle_event
  where run_id = %(run_id)s and seq > %(after_seq)s
) e
order by seq
limit %(limit)s
