-- Purpose: take work that needs no limit: activations, local steps, polls; at most a cap for each group of lanes.
-- Caller: engine.claim, autocommit. Waits for nothing.
-- Rows: deletes ready, inserts lease, upserts lane_tenant; reads run and step without a lock.
-- Locks in order: advisory transaction lock of a (lane, tenant) queue, tried and never waited for; then ready; then lease.
--   The advisory lock is the queue's only mutex: two claims never read the same head.
-- Fairness: one row more than the cap is read of each queue, to tell one that is emptied (idle) from one that goes on; a queue that comes back is
--   given the lane's lowest clock once, also when nothing of it is taken: given anew at each claim, it would never catch up.
-- `paired` finds for each lease how long its row was ready, by grouping: a join of two of these sets would be a nested loop.
-- Indexes: ready's key (jumped over tenant by tenant), keys of lease, step and run (joined: an `exists` would be planned as a hash of all runs).
-- Nothing matches: no row comes back and nothing is written.
with recursive wanted as materialized (
  select * from unnest(%(lanes)s::bigint[], %(groups)s::int[], %(purposes)s::text[], %(shares)s::float8[])
    as w (lane, grp, purpose, share)
), cap as materialized (
  select grp, cap from unnest(%(caps)s::int[]) with ordinality as c (cap, grp) where cap > 0
), walk (lane, tenant_id, n) as (
  select w.lane,
    (select y.tenant_id from heddle_ready y where y.lane = w.lane order by y.lane, y.tenant_id, y.seq limit 1), 1
  from wanted w join cap using (grp)
  union all
  select k.lane,
    (select y.tenant_id from heddle_ready y where y.lane = k.lane and y.tenant_id > k.tenant_id
     order by y.lane, y.tenant_id, y.seq limit 1), k.n + 1
  from walk k
  where k.tenant_id is not null and k.n < %(tenants)s
), backlog as materialized (
  select k.lane, k.tenant_id, t.weight, coalesce(l.v, 0) as v, coalesce(l.is_idle, true) as is_idle
  from walk k
  join heddle_tenant t on t.id = k.tenant_id
  left join heddle_lane_tenant l on l.lane = k.lane and l.tenant_id = k.tenant_id
), started as materialized (
  select b.*, case when b.is_idle
    then greatest(b.v, coalesce(min(b.v) filter (where not b.is_idle) over (partition by b.lane), b.v)) else b.v end as start
  from backlog b
), head as materialized (
  select h.lane, h.tenant_id, h.weight, h.start, h.is_idle, w.grp, w.purpose, w.share, c.cap
  from (select s.*, row_number() over (partition by s.lane order by s.start, random()) as place from started s) h
  join wanted w using (lane)
  join cap c using (grp)
  where h.place <= 16
), locked as materialized (
  select * from head offset 0
), mine as materialized (
  select * from locked where pg_try_advisory_xact_lock(hashint8extended(lane, tenant_id))
), item as materialized (
  select m.lane, m.tenant_id, m.weight, m.start, m.grp, m.purpose, m.share, m.cap, y.seq, y.run_id, y.ordinal, y.k
  from mine m
  cross join lateral (
    select r.seq, r.run_id, r.ordinal, row_number() over (order by r.seq) as k
    from heddle_ready r
    where r.lane = m.lane and r.tenant_id = m.tenant_id
    order by r.lane, r.tenant_id, r.seq
    limit m.cap + 1
  ) y
), ranked as (
  select i.*, row_number() over (partition by i.lane order by i.start + i.k::float8 / i.weight, i.seq) as lane_place from item i
), chosen as materialized (
  select * from (
    select r.*, row_number() over (partition by r.grp order by (r.lane_place - random()) / r.share) as place from ranked r
  ) p
  where p.place <= p.cap
), gone as (
  delete from heddle_ready y
  using chosen c
  where y.lane = c.lane and y.tenant_id = c.tenant_id and y.seq = c.seq
  returning c.lane, c.tenant_id, c.run_id, c.ordinal, c.purpose, y.at
), charged as (
  insert into heddle_lane_tenant as l (lane, tenant_id, v, is_idle)
  select m.lane, m.tenant_id, m.start + coalesce(g.taken, 0)::float8 / m.weight,
    coalesce(g.taken, 0) = (select count(*) from item i where i.lane = m.lane and i.tenant_id = m.tenant_id)
  from mine m
  left join (select lane, tenant_id, count(*) as taken from gone group by lane, tenant_id) g using (lane, tenant_id)
  where g.taken > 0 or m.is_idle
  on conflict (lane, tenant_id) do update set v = greatest(l.v, excluded.v), is_idle = excluded.is_idle
), leased as (
  insert into heddle_lease (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, purpose, claimed_at, endpoint_id)
  select g.run_id, g.ordinal, %(worker)s, nextval('heddle_fence_seq'), %(claim_id)s,
    case when g.purpose = 'poll' then greatest(s.attempts, 1) else coalesce(s.attempts, 0) + 1 end,
    g.lane, g.tenant_id, g.purpose, clock_timestamp(),
    case when g.purpose = 'poll' then (select a.endpoint_id from heddle_attempt a
      where a.run_id = g.run_id and a.ordinal = g.ordinal order by a.number desc limit 1) end
  from gone g
  left join heddle_step s on s.run_id = g.run_id and s.ordinal = g.ordinal
  left join heddle_run r on g.purpose = 'activate' and r.id = g.run_id
  where case g.purpose
    when 'activate' then r.is_activation_due and r.state in ('queued', 'running')
    when 'execute' then s.state = 'due'
    else s.state in ('pending', 'unknown', 'cancelled') end
  on conflict do nothing
  returning run_id, ordinal, fence, number, purpose, endpoint_id, tenant_id
), paired as (
  select run_id, ordinal, max(fence) as fence, max(number) as number, max(purpose) as purpose, max(endpoint_id) as endpoint_id,
    max(tenant_id) as tenant_id, min(at) as ready_at
  from (
    select run_id, ordinal, fence, number, purpose, endpoint_id, tenant_id, null::timestamptz as at from leased
    union all
    select run_id, ordinal, null, null, null, null, null, at from gone
  ) p
  group by run_id, ordinal
  having max(fence) is not null
)
select l.run_id, l.ordinal, l.fence, l.number, l.purpose, l.endpoint_id, l.tenant_id,
  s.kind, s.name, s.version, s.input, s.options, s.state, coalesce(s.attempts_before, 0) as attempts_before, coalesce(s.epoch, 0) as epoch, coalesce(s.crashes, 0) as crashes,
  (select json_object_agg(p.ordinal, p.output) from heddle_step p
   where s.parents is not null and p.run_id = s.run_id and p.ordinal = any(s.parents)) as outputs,
  r.workflow, r.version as workflow_version, r.traceparent,
  extract(epoch from r.deadline_at - clock_timestamp())::float8 as deadline_in_s, a.handle,
  extract(epoch from clock_timestamp() - a.unknown_at)::float8 as unknown_for_s, a.state as attempt_state, a.result,
  r.priority, greatest(0, extract(epoch from clock_timestamp() - l.ready_at))::float8 as waited_s
from paired l
join heddle_run r on r.id = l.run_id
left join heddle_step s on s.run_id = l.run_id and s.ordinal = l.ordinal
left join heddle_attempt a on l.purpose = 'poll' and a.run_id = l.run_id and a.ordinal = l.ordinal and a.number = l.number
