-- Purpose: take model calls, each for exactly one endpoint with room in all its scopes.
-- Caller: engine.claim, autocommit. Waits for nothing.
-- Rows: locks limit_state of at most claim_endpoints endpoints, folds and deletes their limit_delta, deletes ready, inserts lease, slot and
--   attempt ('reserved'), upserts lane_tenant; reads route, endpoint, run and step without a lock.
-- Locks in order: limit rows by id (skip locked: an endpoint counts only when every scope of its was locked); advisory (lane, tenant) tried;
--   ready; lease. Endpoints that share a scope with one drawn before them are left to the next claim, so no scope is spent twice.
-- Fairness, ctids and laterals: as in claim_local. Indexes: ready's key, limit_delta's scope, limit_state's key.
-- Paused (heddle_model, heddle_endpoint, heddle_tenant; all sending after a restore): as if it had no work or no room.
-- Nothing matches: no row comes back; deltas of locked scopes are folded all the same.
with recursive moment as materialized (
  select clock_timestamp() as now
), wanted as materialized (
  select * from unnest(%(lanes)s::bigint[], %(models)s::text[], %(shares)s::float8[]) as w (lane, model, share)
), busy as materialized (
  select w.* from wanted w where exists (select 1 from heddle_ready y where y.lane = w.lane)
    and not exists (select 1 from heddle_model p where p.name = w.model and p.paused_at is not null)
    and not exists (select 1 from heddle_lineage g where g.sending_paused_at is not null)
), standing as materialized (
  select e.id, e.scope_ids, e.is_enabled and e.paused_at is null and not bool_or(
      coalesce(s.paused_until > now, false) or (s.breaker = 'open' and s.open_until > now)
      or (s.breaker = 'half_open' and coalesce(s.probe_until > now, false) and not exists (
        select 1 from heddle_limit_delta d where d.scope_id = s.id and d.epoch = s.breaker_epoch and d.ok + d.failed > 0))
    ) as is_open,
    bool_or(s.concurrency is not null and s.concurrency <= s.in_flight
      - coalesce((select sum(d.released) from heddle_limit_delta d where d.scope_id = s.id), 0)) as is_full,
    min(s.full_since) as full_since
  from heddle_endpoint e
  join heddle_limit_state s on s.id = any(e.scope_ids)
  cross join moment
  where e.id in (select r.endpoint_id from heddle_route r where r.model in (select model from busy))
  group by e.id, e.scope_ids, e.is_enabled, e.paused_at
), usable as materialized (
  select r.model, r.endpoint_id, r.tier, r.weight
  from heddle_route r
  join standing x on x.id = r.endpoint_id
  left join heddle_model m on m.name = r.model
  cross join moment
  where r.model in (select model from busy) and x.is_open and not x.is_full and not exists (
    select 1 from heddle_route h
    join standing y on y.id = h.endpoint_id
    where h.model = r.model and h.tier < r.tier and y.is_open
      and not (y.is_full and coalesce(y.full_since < now - make_interval(secs => coalesce(m.fallback_after_s, 30)), false))
  )
), drawn as materialized (
  select u.id, x.scope_ids, row_number() over (order by random()) as place
  from (select distinct endpoint_id as id from usable) u
  join standing x using (id)
), picked as materialized (
  select d.id, d.scope_ids from drawn d
  where not exists (select 1 from drawn o where o.place < d.place and o.scope_ids && d.scope_ids)
  order by d.place
  limit %(endpoints)s
), scope as materialized (
  select s.* from heddle_limit_state s
  where s.id in (select unnest(p.scope_ids) from picked p)
  order by s.id
  for no key update skip locked
), folded as (
  delete from heddle_limit_delta d
  using scope s
  where d.scope_id = s.id
  returning d.scope_id, d.released, case when d.epoch = s.breaker_epoch then d.ok else 0 end as ok,
    case when d.epoch = s.breaker_epoch then d.failed else 0 end as failed
), fold as materialized (
  select scope_id, sum(released)::int as released, sum(ok)::int as ok, sum(failed)::int as failed from folded group by scope_id
), counted as materialized (
  select s.id, s.concurrency, s.requests_per_min, s.requests_burst, s.tat, s.full_since, s.paused_until, s.breaker, s.breaker_epoch,
    s.open_until, s.open_for_s, s.probe_until,
    s.in_flight - coalesce(f.released, 0) as in_flight, coalesce(f.ok, 0) as ok, coalesce(f.failed, 0) as failed,
    case when coalesce(f.ok, 0) > 0 then 0 else s.failures_in_row + coalesce(f.failed, 0) end as failures_in_row,
    s.window_at < now - interval '10 seconds' as is_new_window,
    case when s.window_at < now - interval '10 seconds' then 0 else s.window_ok end + coalesce(f.ok, 0) as window_ok,
    case when s.window_at < now - interval '10 seconds' then 0 else s.window_failed end + coalesce(f.failed, 0) as window_failed,
    s.window_at, now
  from scope s cross join moment left join fold f on f.scope_id = s.id
), judged as materialized (
  select c.*, case
      when c.breaker = 'closed' and (c.failures_in_row >= 5
        or (c.window_ok + c.window_failed >= 20 and c.window_failed * 2 >= c.window_ok + c.window_failed)) then 'open'
      when c.breaker = 'half_open' and c.failed > 0 then 'open'
      when c.breaker = 'half_open' and c.ok > 0 then 'closed'
      when c.breaker = 'open' and c.open_until <= c.now then 'half_open'
      else c.breaker end as position
  from counted c
), roomed as materialized (
  select j.*, least(
      %(want)s,
      case when j.concurrency is null then %(want)s else greatest(0, j.concurrency - j.in_flight) end,
      case when j.requests_per_min is null then %(want)s else greatest(0, floor(extract(epoch from
        j.now + make_interval(secs => 60.0 / j.requests_per_min * j.requests_burst) - greatest(j.tat, j.now))
        * j.requests_per_min / 60.0 + 1e-6))::int end,
      case j.position when 'open' then 0 when 'half_open' then (case when j.probe_until > j.now then 0 else 1 end) else %(want)s end,
      case when j.paused_until > j.now then 0 else %(want)s end
    )::int as room
  from judged j
), open_endpoint as materialized (
  select p.id, p.scope_ids, min(r.room) as room
  from picked p
  cross join lateral unnest(p.scope_ids) as u (scope_id)
  join roomed r on r.id = u.scope_id
  group by p.id, p.scope_ids
  having count(*) = cardinality(p.scope_ids) and min(r.room) > 0
), span as materialized (
  select u.model, u.endpoint_id,
    sum(o.room) over (partition by u.model order by u.tier, u.draw, u.endpoint_id rows unbounded preceding) - o.room as low,
    sum(o.room) over (partition by u.model order by u.tier, u.draw, u.endpoint_id rows unbounded preceding) as high
  from (select *, -ln(1 - random()) / weight as draw from usable) u
  join open_endpoint o on o.id = u.endpoint_id
), total as materialized (
  select model, least(max(high), %(want)s)::int as cap from span group by model
), walk (lane, tenant_id, n) as (
  select b.lane,
    (select y.tenant_id from heddle_ready y where y.lane = b.lane order by y.lane, y.tenant_id, y.seq limit 1), 1
  from busy b join total using (model)
  union all
  select k.lane,
    (select y.tenant_id from heddle_ready y where y.lane = k.lane and y.tenant_id > k.tenant_id
     order by y.lane, y.tenant_id, y.seq limit 1), k.n + 1
  from walk k
  where k.tenant_id is not null and k.n < %(tenants)s
), backlog as materialized (
  select k.lane, k.tenant_id, t.weight, coalesce(l.v, 0) as v, coalesce(l.is_idle, true) as is_idle
  from walk k
  join heddle_tenant t on t.id = k.tenant_id and t.paused_at is null
  left join heddle_lane_tenant l on l.lane = k.lane and l.tenant_id = k.tenant_id
), started as materialized (
  select b.*, case when b.is_idle
    then greatest(b.v, coalesce(min(b.v) filter (where not b.is_idle) over (partition by b.lane), b.v)) else b.v end as start
  from backlog b
), head as materialized (
  select h.lane, h.tenant_id, h.weight, h.start, h.is_idle, b.model, b.share, t.cap
  from (select s.*, row_number() over (partition by s.lane order by s.start, random()) as place from started s) h
  join busy b using (lane)
  join total t using (model)
  where h.place <= 16
  offset 0
), mine as materialized (
  select * from head where pg_try_advisory_xact_lock(hashint8extended(lane, tenant_id))
), item as materialized (
  select m.lane, m.tenant_id, m.weight, m.start, m.model, m.share, m.cap, y.tid, y.seq, y.run_id, y.ordinal, y.at, y.k
  from mine m
  cross join lateral (
    select r.ctid as tid, r.seq, r.run_id, r.ordinal, r.at, row_number() over (order by r.seq) as k
    from heddle_ready r
    where r.lane = m.lane and r.tenant_id = m.tenant_id
    order by r.lane, r.tenant_id, r.seq
    limit m.cap + 1
  ) y
), ranked as (
  select i.*, row_number() over (partition by i.lane order by i.start + i.k::float8 / i.weight, i.seq) as lane_place from item i
), placed as materialized (
  select r.*, row_number() over (partition by r.model order by (r.lane_place - random()) / r.share) as place from ranked r
), routed as materialized (
  select p.*, s.endpoint_id, row_number() over (partition by s.endpoint_id order by p.place, random()) as endpoint_place
  from placed p
  join span s on s.model = p.model and p.place > s.low and p.place <= s.high
), chosen as materialized (
  select q.* from routed q join open_endpoint o on o.id = q.endpoint_id
  where q.endpoint_place <= o.room
  order by q.place, q.endpoint_place
  limit %(want)s
), gone as (
  delete from heddle_ready y
  where y.ctid = any(array(select tid from chosen))
  returning y.seq
), taken as materialized (
  select c.lane, c.tenant_id, c.run_id, c.ordinal, c.endpoint_id, c.at
  from chosen c
  where c.seq = any(array(select seq from gone))
), charged as (
  insert into heddle_lane_tenant as l (lane, tenant_id, v, is_idle)
  select m.lane, m.tenant_id, m.start + coalesce(g.taken, 0)::float8 / m.weight,
    coalesce(g.taken, 0) = (select count(*) from item i where i.lane = m.lane and i.tenant_id = m.tenant_id)
  from mine m
  left join (select lane, tenant_id, count(*) as taken from taken group by lane, tenant_id) g using (lane, tenant_id)
  where g.taken > 0 or m.is_idle
  on conflict (lane, tenant_id) do update set v = greatest(l.v, excluded.v), is_idle = excluded.is_idle
), found as materialized (
  select t.lane, t.tenant_id, t.run_id, t.ordinal, t.endpoint_id, t.at, nextval('heddle_fence_seq') as fence, s.attempts + 1 as number,
    s.kind, s.name, s.version, s.input, s.options, s.state, s.attempts_before, s.epoch, s.crashes, s.parents,
    r.workflow, r.version as workflow_version, r.traceparent, r.deadline_at, r.priority
  from taken t
  cross join lateral (
    select s.* from heddle_step s where s.run_id = t.run_id and s.ordinal = t.ordinal and s.state = 'due' offset 0
  ) s
  cross join lateral (
    select r.workflow, r.version, r.traceparent, r.deadline_at, r.priority from heddle_run r where r.id = t.run_id offset 0
  ) r
), leased as (
  insert into heddle_lease (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, endpoint_id, purpose, claimed_at)
  select f.run_id, f.ordinal, %(worker)s, f.fence, %(claim_id)s, f.number, f.lane, f.tenant_id, f.endpoint_id, 'send', clock_timestamp()
  from found f
  on conflict do nothing
  returning run_id, ordinal, fence, number, endpoint_id
), slotted as (
  insert into heddle_slot (run_id, ordinal, endpoint_id, taken_at)
  select run_id, ordinal, endpoint_id, clock_timestamp() from leased
), reserved as (
  insert into heddle_attempt (run_id, ordinal, number, endpoint_id, worker_id, fence, state, price_nano_usd, started_at, send_by)
  select l.run_id, l.ordinal, l.number, l.endpoint_id, %(worker)s, l.fence, 'reserved', e.price_nano_usd, clock_timestamp(),
    clock_timestamp() + make_interval(secs => %(send_window_s)s)
  from leased l join heddle_endpoint e on e.id = l.endpoint_id
), spent as materialized (
  select u.scope_id, count(*)::int as taken
  from leased l
  join open_endpoint o on o.id = l.endpoint_id
  cross join lateral unnest(o.scope_ids) as u (scope_id)
  group by u.scope_id
), limited as (
  update heddle_limit_state s set
    in_flight = r.in_flight + coalesce(p.taken, 0),
    tat = case when r.requests_per_min is null or p.taken is null then r.tat
      else greatest(r.tat, r.now) + make_interval(secs => 60.0 / r.requests_per_min * p.taken) end,
    full_since = case when r.concurrency is not null and r.in_flight + coalesce(p.taken, 0) >= r.concurrency
      then coalesce(r.full_since, r.now) end,
    breaker = r.position,
    breaker_epoch = r.breaker_epoch + case when r.position <> r.breaker then 1 else 0 end,
    failures_in_row = case when r.position <> r.breaker then 0 else r.failures_in_row end,
    window_at = case when r.is_new_window then r.now else r.window_at end,
    window_ok = case when r.position <> r.breaker then 0 else r.window_ok end,
    window_failed = case when r.position <> r.breaker then 0 else r.window_failed end,
    open_until = case when r.position = 'open' and r.breaker <> 'open' then r.now + make_interval(secs =>
      case when r.breaker = 'half_open' then least(300, r.open_for_s * 2) else 30 end) else r.open_until end,
    open_for_s = case when r.position = 'open' and r.breaker <> 'open'
      then (case when r.breaker = 'half_open' then least(300, r.open_for_s * 2) else 30 end) else r.open_for_s end,
    probe_until = case when r.position = 'half_open' and coalesce(p.taken, 0) > 0 then r.now + interval '60 seconds' else r.probe_until end
  from roomed r
  left join spent p on p.scope_id = r.id
  where s.id = r.id
)
select f.run_id, f.ordinal, f.fence, f.number, 'send' as purpose, f.endpoint_id, f.tenant_id,
  f.kind, f.name, f.version, f.input, f.options, f.state, f.attempts_before, f.epoch, f.crashes,
  case when f.parents is not null then (select json_object_agg(p.ordinal, p.output) from heddle_step p
    where p.run_id = f.run_id and p.ordinal = any(f.parents)) end as outputs,
  f.workflow, f.workflow_version, f.traceparent,
  extract(epoch from f.deadline_at - clock_timestamp())::float8 as deadline_in_s, null::text as handle,
  null::float8 as unknown_for_s, 'reserved' as attempt_state, null::jsonb as result,
  f.priority, greatest(0, extract(epoch from clock_timestamp() - f.at))::float8 as waited_s
from found f
where f.fence = any(array(select fence from leased))
