-- Purpose: declare silent workers dead, by compare-and-set on seen_at, before anybody takes their leases. Caller: engine.sweep, the leader.
-- Without lease_s nobody is declared. Rows: worker. Locks: those rows, skipping one that is just beating.
-- Returns ids whose leases are to be taken (dead ones with leases left too).
with silent as (
  select id from heddle_worker
  where state in ('alive', 'draining') and seen_at < clock_timestamp() - make_interval(secs => %(lease_s)s::float8)
  order by id
  for no key update skip locked
), dead as (
  update heddle_worker w set state = 'dead' from silent s where w.id = s.id returning w.id
)
select id, true as is_new from dead
union all
select w.id, false from heddle_worker w
where w.state in ('dead', 'gone') and exists (select 1 from heddle_lease l where l.worker_id = w.id)
