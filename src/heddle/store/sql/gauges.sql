-- Purpose: read what the gauges show: ready rows by lane with their oldest age, leases, slots, late timers, living workers, unknown attempts,
--   breakers, the oldest transaction of another session, and how long there are partitions for. Caller: engine.observe, the leader.
-- Rows: reads ready, lease, slot, timer, worker, attempt, step, endpoint, limit_state and the server's catalogues. Locks: none.
-- Bounded: ready is counted up to 100,000 rows, unknown attempts up to 10,000. Indexes: ready's key, attempt's unknown, timer's due_at.
-- The oldest of a lane is looked up by the heads of its lines (lane, tenant), 20,000 at most, from one to the next by the key: behind a great
--   backlog of one lane the few rows of another must not be overlooked. A lane beyond what is counted has at least one row.
-- An unknown attempt counts while its step waits for it; a stopped run's does not: somebody has decided about it.
-- Sessions of other roles show their transactions only to a role with pg_read_all_stats.
with recursive head (lane, tenant_id, at, place) as (
  (select lane, tenant_id, at, 1 from heddle_ready order by lane, tenant_id, seq limit 1)
  union all
  select n.lane, n.tenant_id, n.at, h.place + 1
  from head h
  cross join lateral (
    select y.lane, y.tenant_id, y.at from heddle_ready y where (y.lane, y.tenant_id) > (h.lane, h.tenant_id)
    order by y.lane, y.tenant_id, y.seq limit 1
  ) n
  where h.place < 20000
), counted as (
  select lane, count(*) as n from (select lane from heddle_ready limit 100000) y group by lane
)
select
  (select json_object_agg(g.lane, json_build_array(coalesce(c.n, 1), g.age)) from (
    select lane, extract(epoch from clock_timestamp() - min(at))::float8 as age from head group by lane) g
    left join counted c on c.lane = g.lane) as ready,
  (select json_object_agg(purpose, n) from (select purpose, count(*) as n from heddle_lease group by purpose) l) as leases,
  (select json_object_agg(name, n) from (
    select e.name, count(*) as n from heddle_slot k join heddle_endpoint e on e.id = k.endpoint_id group by e.name) s) as slots,
  (select count(*) from heddle_timer where due_at < clock_timestamp() - interval '5 seconds')::int as late_timers,
  (select count(*) from heddle_worker w
    where w.state in ('alive', 'draining') and w.seen_at > clock_timestamp() - make_interval(secs => %(lease_s)s))::int as workers_alive,
  (select count(*) from (select a.run_id, a.ordinal from heddle_attempt a where a.state = 'unknown' limit 10000) u
    join heddle_step s on s.run_id = u.run_id and s.ordinal = u.ordinal and s.state = 'unknown')::int as unknown_attempts,
  (select json_object_agg(name, breaker) from (
    select e.name, case when bool_or(l.breaker = 'open') then 'open' when bool_or(l.breaker = 'half_open') then 'half_open'
      else 'closed' end as breaker
    from heddle_endpoint e join heddle_limit_state l on l.id = any(e.scope_ids) group by e.name) b) as breakers,
  (select coalesce(max(extract(epoch from clock_timestamp() - a.xact_start)), 0)::float8 from pg_stat_activity a
    where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend') as oldest_transaction_s,
  (select coalesce(extract(epoch from
      max(to_date(substring(c.relname from 'heddle_run_p([0-9]{8})'), 'YYYYMMDD')::timestamp at time zone 'UTC') + interval '7 days'
      - clock_timestamp()), 0)::float8
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = to_regclass('heddle_run')) as partitions_ahead_s
