-- Purpose: take work that needs no limit: activations, local steps, polls; at most a cap for each group of lanes.
-- Caller: engine.claim, autocommit. Waits for nothing.
-- Rows: deletes ready, inserts lease, upserts lane_tenant; reads run and step without a lock.
-- Locks in order: advisory transaction lock of a (lane, tenant) queue, tried and never waited for; then ready; then lease.
--   The advisory lock is the queue's only mutex: two claims never read the same head.
-- Fairness: one row more than the cap is read of each queue, to tell one that is emptied (idle) from one that goes on; a queue that comes back is
--   given the lane's lowest clock once, also when nothing of it is taken: given anew at each claim, it would never catch up.
--   A tenant that is alone in its lane is not charged, since there is nobody to be fair to; then no row is written but when it turns idle or busy.
-- Dead rows: while somebody holds an old snapshot, what was taken stays in ready's index, and whoever looks there steps over all of it. So queues
--   that the worker has served are asked for from where it was a moment ago (`known_seqs`), and others are looked for between them (`gap`).
-- Indexes: ready's key (jumped over tenant by tenant), keys of lease, step and run (joined: an `exists` would be planned as a hash of all runs).
-- Deadlines: a call whose run's time is over is taken out of line and not leased; the deadline's timer cancels it. Cleanup calls are leased.
-- A paused tenant starts nothing; its jobs at providers are still asked after (polls).
-- Nothing matches: no row comes back and nothing is written.
with recursive wanted as materialized (
  select * from unnest(%(lanes)s::bigint[], %(groups)s::int[], %(purposes)s::text[], %(shares)s::float8[])
    as w (lane, grp, purpose, share)
), cap as materialized (
  select grp, cap from unnest(%(caps)s::int[]) with ordinality as c (cap, grp) where cap > 0
), known as materialized (
  select k.* from unnest(%(known_lanes)s::bigint[], %(known_tenants)s::int[], %(known_seqs)s::bigint[]) as k (lane, tenant_id, seq)
), gap as materialized (
  select g.* from unnest(%(gap_lanes)s::bigint[], %(gap_afters)s::int[], %(gap_befores)s::int[]) as g (lane, after, before)
), walk (lane, tenant_id, before, n) as (
  select g.lane,
    (select y.tenant_id from heddle_ready y where y.lane = g.lane and y.tenant_id > g.after and y.tenant_id < g.before
     order by y.lane, y.tenant_id, y.seq limit 1), g.before, 1
  from gap g join wanted w using (lane) join cap using (grp)
  union all
  select k.lane,
    (select y.tenant_id from heddle_ready y where y.lane = k.lane and y.tenant_id > k.tenant_id and y.tenant_id < k.before
     order by y.lane, y.tenant_id, y.seq limit 1), k.before, k.n + 1
  from walk k
  where k.tenant_id is not null and k.n < %(tenants)s
), found_queue as materialized (
  select k.lane, k.tenant_id, 0::bigint as seq from walk k where k.tenant_id is not null
  union all
  select k.lane, k.tenant_id, k.seq from known k join wanted w using (lane) join cap using (grp)
  where (select true from heddle_ready y where y.lane = k.lane and y.tenant_id = k.tenant_id and y.seq >= k.seq limit 1)
), backlog as materialized (
  select k.lane, k.tenant_id, k.seq, t.weight, coalesce(l.v, 0) as v, coalesce(l.is_idle, true) as is_idle,
    count(*) over (partition by k.lane) = 1 as is_alone
  from found_queue k
  join heddle_tenant t on t.id = k.tenant_id and (t.paused_at is null
    or exists (select 1 from wanted w where w.lane = k.lane and w.purpose = 'poll'))
  left join heddle_lane_tenant l on l.lane = k.lane and l.tenant_id = k.tenant_id
), started as materialized (
  select b.*, case when b.is_idle
    then greatest(b.v, coalesce(min(b.v) filter (where not b.is_idle) over (partition by b.lane), max(b.v) over (partition by b.lane)))
    else b.v end as start
  from backlog b
), head as materialized (
  select h.lane, h.tenant_id, h.seq as low, h.weight, h.start, h.is_idle, h.is_alone, w.grp, w.purpose, w.share, c.cap
  from (select s.*, row_number() over (partition by s.lane order by s.start, random()) as place from started s) h
  join wanted w using (lane)
  join cap c using (grp)
  where h.place <= 16
), locked as materialized (
  select * from head offset 0
), mine as materialized (
  select * from locked where pg_try_advisory_xact_lock(hashint8extended(lane, tenant_id))
), item as materialized (
  select m.lane, m.tenant_id, m.weight, m.start, m.grp, m.share, m.cap, y.tid, y.seq, y.k
  from mine m
  cross join lateral (
    select r.ctid as tid, r.seq, row_number() over (order by r.seq) as k
    from heddle_ready r
    where r.lane = m.lane and r.tenant_id = m.tenant_id and r.seq >= m.low
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
  where y.ctid = any(array(select tid from chosen))
  returning y.lane, y.tenant_id, y.seq, y.run_id, y.ordinal, y.at
), charged as (
  insert into heddle_lane_tenant as l (lane, tenant_id, v, is_idle)
  select lane, tenant_id, start + case when is_alone then 0 else taken end / weight, is_emptied
  from (
    select m.*, coalesce(g.taken, 0)::float8 as taken,
      coalesce(g.taken, 0) = (select count(*) from item i where i.lane = m.lane and i.tenant_id = m.tenant_id) as is_emptied
    from mine m
    left join (select lane, tenant_id, count(*) as taken from gone group by lane, tenant_id) g using (lane, tenant_id)
  ) m
  where m.is_idle <> m.is_emptied or not m.is_alone and (m.taken > 0 or m.is_idle)
  on conflict (lane, tenant_id) do update set v = greatest(l.v, excluded.v), is_idle = excluded.is_idle
), found as materialized (
  select g.lane, g.tenant_id, g.seq, g.run_id, g.ordinal, g.at, m.purpose, nextval('heddle_fence_seq') as fence,
    case when m.purpose = 'poll' then greatest(s.attempts, 1) else coalesce(s.attempts, 0) + 1 end as number,
    case when m.purpose = 'poll' then (select a.endpoint_id from heddle_attempt a
      where a.run_id = g.run_id and a.ordinal = g.ordinal order by a.number desc limit 1) end as endpoint_id,
    s.kind, s.name, s.version, coalesce(s.input, case when r.is_first then r.input end) as input, s.options, s.state, s.attempts_before, s.epoch, s.crashes, s.parents, s.note,
    case when s.state = 'cancelled' then s.finished_at end as stopped_at, r.workflow, r.version as workflow_version, r.traceparent, r.deadline_at, r.priority, case when r.is_first then r.wake_seq end as wake_seq
  from gone g
  join mine m using (lane, tenant_id)
  cross join lateral (
    select r.workflow, r.version, r.traceparent, r.deadline_at, r.priority, r.is_activation_due, r.state, r.stopping, r.wake_seq,
      case when m.purpose = 'activate' and r.planned = 0 and r.stopping is null and r.patches = '{}' then true end as is_first, r.input
    from heddle_run r where r.id = g.run_id offset 0
  ) r
  left join lateral (
    select s.* from heddle_step s where s.run_id = g.run_id and s.ordinal = g.ordinal offset 0
  ) s on true
  where case m.purpose
    when 'activate' then r.is_activation_due and r.state in ('queued', 'running')
    when 'execute' then s.state = 'due' and (r.deadline_at is null or r.deadline_at > clock_timestamp() or r.stopping is not null)
    else s.state in ('pending', 'unknown', 'cancelled') end
), leased as (
  insert into heddle_lease (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, purpose, claimed_at, endpoint_id)
  select f.run_id, f.ordinal, %(worker)s, f.fence, %(claim_id)s, f.number, f.lane, f.tenant_id, f.purpose, clock_timestamp(), f.endpoint_id
  from found f
  on conflict do nothing
  returning fence
)
select f.run_id, f.ordinal, f.fence, f.number, f.purpose, f.endpoint_id, f.tenant_id,
  f.kind, f.name, f.version, f.input, f.options, f.state, coalesce(f.attempts_before, 0) as attempts_before, coalesce(f.epoch, 0) as epoch,
  coalesce(f.crashes, 0) as crashes,
  case when f.parents is not null then (select json_object_agg(p.ordinal, p.output) from heddle_step p
    where p.run_id = f.run_id and p.ordinal = any(f.parents)) end as outputs,
  f.workflow, f.workflow_version, f.traceparent,
  extract(epoch from f.deadline_at - clock_timestamp())::float8 as deadline_in_s, a.handle,
  extract(epoch from clock_timestamp() - coalesce(a.unknown_at, f.stopped_at))::float8 as unknown_for_s, a.state as attempt_state, a.result,
  f.priority, greatest(0, extract(epoch from clock_timestamp() - f.at))::float8 as waited_s, coalesce(a.tier, 0) as tier, a.price_nano_usd, f.wake_seq,
  case when f.wake_seq is not null then extract(epoch from clock_timestamp())::float8 else 0 end as now_s,
  extract(epoch from clock_timestamp() - coalesce(a.sent_at, a.started_at))::float8 as sent_for_s,
  a.called_back_at is not null as is_called_back, coalesce(f.note, '') as note,
  coalesce(a.fault ->> 'fault' = 'code_crashed', false) as is_cut_off,
  f.lane, f.seq
from found f
left join lateral (
  select a.handle, a.unknown_at, a.state, a.result, a.tier, a.price_nano_usd, a.sent_at, a.started_at, a.called_back_at, a.fault from heddle_attempt a
  where f.purpose = 'poll' and a.run_id = f.run_id and a.ordinal = f.ordinal and a.number = f.number offset 0
) a on true
where f.fence = any(array(select fence from leased))
