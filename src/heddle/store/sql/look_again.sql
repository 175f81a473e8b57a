-- Purpose: look later after the job of a cancelled step, of which it is not known yet whether it is over: its slot stays taken.
-- Caller: engine.poll for steps of a stopped run. Rows: lease, attempt, timer. Locks: lease -> attempt -> timer. Indexes: keys.
-- Nothing matches: the lease was taken by a reclaim, which has put the job in line again.
with gone as (
  delete from heddle_lease l
  using unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(fences)s::bigint[]) as w (run_id, ordinal, fence)
  where l.run_id = w.run_id and l.ordinal = w.ordinal and l.fence = w.fence
  returning l.run_id, l.ordinal, l.number
), attempts as (
  update heddle_attempt a set
    state = case when coalesce(w.handle, a.handle) is null then 'unknown' else 'accepted' end,
    handle = coalesce(w.handle, a.handle),
    accepted_at = case when w.handle is not null then coalesce(a.accepted_at, clock_timestamp()) else a.accepted_at end,
    unknown_at = case when coalesce(w.handle, a.handle) is null then coalesce(a.unknown_at, clock_timestamp()) else a.unknown_at end
  from gone g
  join unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(handles)s::text[]) as w (run_id, ordinal, handle)
    on w.run_id = g.run_id and w.ordinal = g.ordinal
  where a.run_id = g.run_id and a.ordinal = g.ordinal and a.number = g.number and a.state in ('sending', 'accepted', 'unknown')
)
insert into heddle_timer (run_id, ordinal, kind, due_at)
select g.run_id, g.ordinal, 'reconcile', clock_timestamp() + make_interval(secs => w.delay_s)
from gone g
join unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(delays)s::float8[]) as w (run_id, ordinal, delay_s)
  on w.run_id = g.run_id and w.ordinal = g.ordinal
on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
