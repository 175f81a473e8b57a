-- Purpose: measure how much is in line in each lane, for whom, since when, and how fast the lane moves; doors and `why` read the result.
-- Caller: engine.load, the leader, at most once a second and so seldom that it takes no more than a fiftieth of its time.
-- Rows: counts ready by its key (the only statement that reads a whole backlog), reads one head of each (lane, tenant) line and up to 64 rows of
--   its longest; deletes load_delta, upserts load. Locks: load rows, which only the leader writes.
-- A lane whose every endpoint is closed (breaker, an operator's pause), or whose model is paused, is blocked: what stood in it does not count as
--   waiting until it opened again.
-- drained_per_s is a mean over the time the lane had something in line (busy_s), later one over %(window_s)s seconds weighted to the latest. Held times are forgotten at the rate of one in 200.
-- A number that fades is 0 before it is too small to be written: PostgreSQL refuses what underflows, and the lane would never be measured again.
-- Nothing matches: every lane is empty; lanes seen before are written as empty, and forgotten after %(keep_s)s seconds.
with moment as materialized (
  select clock_timestamp() as now
), folded as (
  delete from heddle_load_delta returning lane, kind, name, version, priority, taken, ended, held_s, held_s2
), told as materialized (
  select lane, kind, name, version, priority, sum(taken)::float8 as taken, sum(ended)::float8 as ended, sum(held_s) as held_s,
    sum(held_s2) as held_s2
  from folded group by lane, kind, name, version, priority
), line as materialized (
  select lane, tenant_id, count(*)::int as queued, min(seq) as seq from heddle_ready group by lane, tenant_id
), head as materialized (
  select l.lane, l.tenant_id, l.queued, h.run_id, h.ordinal, h.at, t.weight,
    row_number() over (partition by l.lane order by l.queued desc, l.tenant_id) as place
  from line l
  join heddle_tenant t on t.id = l.tenant_id
  cross join lateral (
    select y.run_id, y.ordinal, y.at from heddle_ready y where y.lane = l.lane and y.tenant_id = l.tenant_id and y.seq = l.seq offset 0
  ) h
), named as materialized (
  select h.lane, case when h.ordinal = 0 then 'activation' else s.kind end as kind,
    case when h.ordinal = 0 then r.workflow else s.name end as name,
    case when h.ordinal = 0 then r.version else s.version end as version, r.priority
  from head h
  cross join lateral (
    select r.workflow, r.version, r.priority, r.lane from heddle_run r where r.id = h.run_id offset 0
  ) r
  left join lateral (
    select s.kind, s.name, s.version, s.lane from heddle_step s where s.run_id = h.run_id and s.ordinal = h.ordinal offset 0
  ) s on true
  where h.place = 1 and h.lane = case when h.ordinal = 0 then r.lane else s.lane end
), sampled as materialized (
  select h.lane, array_agg(distinct r.workflow) as workflows
  from head h
  cross join lateral (
    select y.run_id from heddle_ready y where y.lane = h.lane and y.tenant_id = h.tenant_id order by y.lane, y.tenant_id, y.seq limit 8
  ) y
  cross join lateral (select r.workflow from heddle_run r where r.id = y.run_id offset 0) r
  where h.place <= 8
  group by h.lane
), closed as materialized (
  select h.model
  from heddle_route h
  join heddle_endpoint e on e.id = h.endpoint_id and e.is_enabled
  cross join moment
  group by h.model, now
  having bool_and(e.paused_at is not null or exists (select 1 from heddle_limit_state s where s.id = any(e.scope_ids)
    and (s.paused_until > now or s.breaker = 'open' and s.open_until > now or s.concurrency = 0)))
  union
  select name from heddle_model where paused_at is not null
), lined as materialized (
  select n.lane, n.kind, n.name, n.version, n.priority, sum(h.queued)::int as queued,
    case when n.kind = 'model' and n.name in (select model from closed) then now else o.blocked_at end as blocked_at,
    coalesce((select p.workflows from sampled p where p.lane = n.lane), '{}') as workflows,
    jsonb_object_agg(h.tenant_id, jsonb_build_array(h.queued,
      round(greatest(0, extract(epoch from now - greatest(h.at, case when n.kind = 'model' and n.name in (select model from closed) then now
        else o.blocked_at end)))::numeric, 3), h.weight)) filter (where h.place <= %(tenants)s) as tenants,
    case when max(h.place) > %(tenants)s then jsonb_build_array(sum(h.queued) filter (where h.place > %(tenants)s), 0,
      least(1000, sum(h.weight) filter (where h.place > %(tenants)s))) end as rest
  from named n
  cross join moment
  join head h on h.lane = n.lane
  left join heddle_load o on o.lane = n.lane
  group by n.lane, n.kind, n.name, n.version, n.priority, o.blocked_at, now
), wanted as materialized (
  select known.lane, coalesce(i.kind, t.kind, o.kind) as kind, coalesce(i.name, t.name, o.name) as name,
    coalesce(i.version, t.version, o.version) as version, coalesce(i.priority, t.priority, o.priority) as priority,
    coalesce(i.queued, 0) as queued,
    coalesce(i.tenants, '{}') as tenants, i.rest, coalesce(i.workflows, '{}') as workflows, coalesce(i.blocked_at, o.blocked_at) as blocked_at,
    case when o.queued > 0 and o.drained_per_s > 1e-9 then o.drained_per_s else 0 end as drained_per_s, case when o.queued > 0 then o.busy_s else 0 end as busy_s,
    o.queued > 0 as was_busy, extract(epoch from now - o.at)::float8 as past_s, t.taken, t.ended, t.held_s, t.held_s2,
    o.held_count, o.held_mean_s, o.held_square_s2, now
  from moment
  cross join (select lane from lined union select lane from told union select lane from heddle_load) known
  left join lined i on i.lane = known.lane
  left join heddle_load o on o.lane = known.lane
  left join told t on t.lane = known.lane
  where i.lane is not null or t.lane is not null or o.queued > 0
), written as (
  insert into heddle_load as w (lane, kind, name, version, priority, queued, drained_per_s, busy_s, tenants, rest, workflows, blocked_at, held_mean_s,
    held_square_s2, held_count, at)
  select lane, kind, name, version, priority, queued,
    case when was_busy then drained_per_s + (coalesce(taken, 0) / greatest(past_s, 0.001) - drained_per_s)
      * greatest(1 - exp(-least(500, past_s / %(window_s)s)), past_s / greatest(busy_s + past_s, 0.001)) else 0 end,
    case when was_busy then busy_s + past_s else 0 end,
    tenants, rest, workflows, blocked_at,
    case when coalesce(ended, 0) = 0 then held_mean_s
      else (coalesce(held_mean_s, 0) * coalesce(held_count, 0) + held_s) / (coalesce(held_count, 0) + ended) end,
    case when coalesce(ended, 0) = 0 then held_square_s2
      else (coalesce(held_square_s2, 0) * coalesce(held_count, 0) + held_s2) / (coalesce(held_count, 0) + ended) end,
    least(200, coalesce(held_count, 0) + coalesce(ended, 0)), now
  from wanted
  on conflict (lane) do update set queued = excluded.queued, drained_per_s = excluded.drained_per_s, busy_s = excluded.busy_s, tenants = excluded.tenants,
    rest = excluded.rest, workflows = excluded.workflows, blocked_at = excluded.blocked_at, held_mean_s = excluded.held_mean_s,
    held_square_s2 = excluded.held_square_s2, held_count = excluded.held_count, at = excluded.at
  returning queued
), forgotten as (
  delete from heddle_load l using moment where l.at < now - make_interval(secs => %(keep_s)s)
    and l.lane not in (select lane from wanted)
)
select count(*)::int as lanes, coalesce(sum(queued), 0)::bigint as queued from written
