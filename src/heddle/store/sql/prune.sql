-- Purpose: remove idempotency keys, inbox rows, strays, pointers to results and workers past their time, in small batches.
-- Caller: engine.sweep, the leader. A worker that left or died goes a month later, when no lease is its any more.
-- A pointer to a result goes when the result is too old, or has come to nothing. Of a call that has not ended, or ended lately, it is put off.
-- Rows: deletes idempotency, inbox, stray and worker; deletes or puts off result; reads step and attempt of those. Indexes: their times, keys.
-- Locks: the rows.
with moment as materialized (
  select clock_timestamp() as now
), old_keys as (
  delete from heddle_idempotency i using (
    select tenant_id, operation, key from heddle_idempotency
    where created_at < clock_timestamp() - make_interval(hours => %(hours)s) order by created_at limit %(limit)s
  ) o
  where i.tenant_id = o.tenant_id and i.operation = o.operation and i.key = o.key
  returning 1
), old_events as (
  delete from heddle_inbox i using (
    select endpoint_id, event_id from heddle_inbox
    where at < clock_timestamp() - make_interval(hours => %(hours)s) order by at limit %(limit)s
  ) o
  where i.endpoint_id = o.endpoint_id and i.event_id = o.event_id
  returning 1
), old_strays as (
  delete from heddle_stray y using (
    select endpoint_id, handle from heddle_stray
    where at < clock_timestamp() - make_interval(hours => %(hours)s) order by at limit %(limit)s
  ) o
  where y.endpoint_id = o.endpoint_id and y.handle = o.handle
  returning 1
), old_workers as (
  delete from heddle_worker w where w.id = any(array(
    select v.id from heddle_worker v
    where v.state in ('dead', 'gone') and v.seen_at < clock_timestamp() - interval '30 days'
      and not exists (select from heddle_lease l where l.worker_id = v.id)
    order by v.id limit %(limit)s
    for update skip locked
  ))
  returning 1
), looked as materialized (
  select r.tenant_id, r.key, r.run_id, r.ordinal, case
      when s.state in ('due', 'pending', 'waiting', 'unknown') then now + interval '1 hour'
      else greatest(case when s.state = 'succeeded' then s.finished_at end, a.finished_at) + make_interval(secs => r.hours * 3600) end as keep_until
  from (select tenant_id, key, run_id, ordinal, hours from heddle_result where until < clock_timestamp() order by until limit %(limit)s) r
  cross join moment
  left join lateral (
    select s.state, s.finished_at from heddle_step s where s.run_id = r.run_id and s.ordinal = r.ordinal offset 0
  ) s on true
  left join lateral (
    select max(a.finished_at) as finished_at from heddle_attempt a
    where s.state <> 'succeeded' and a.run_id = r.run_id and a.ordinal = r.ordinal and a.state in ('late', 'done') and a.result is not null
  ) a on true
), put_off as (
  update heddle_result r set until = l.keep_until
  from looked l cross join moment
  where l.keep_until > now and r.tenant_id = l.tenant_id and r.key = l.key and r.run_id = l.run_id and r.ordinal = l.ordinal
), old_results as (
  delete from heddle_result r using looked l cross join moment
  where (l.keep_until is null or l.keep_until <= now)
    and r.tenant_id = l.tenant_id and r.key = l.key and r.run_id = l.run_id and r.ordinal = l.ordinal
  returning 1
)
select (select count(*) from old_keys)::int + (select count(*) from old_events)::int + (select count(*) from old_strays)::int
  + (select count(*) from old_results)::int + (select count(*) from old_workers)::int as removed
