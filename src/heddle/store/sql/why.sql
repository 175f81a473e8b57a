-- Purpose: read the facts from which `why` explains what a run waits for. Caller: doors' why, once for the run and once for each child below.
-- Rows: reads run, step, lease, timer, ready, attempt, event, worker, load, route, endpoint, limit_state, limit_delta, model, tenant, lineage.
-- Indexes: keys. Bounded: at most 20 open calls, 10,001 rows of one tenant's line each. Locks: none. Nothing matches: no such run.
with moment as materialized (
  select clock_timestamp() as now
), alive as materialized (
  select w.detail from heddle_worker w cross join moment where w.state = 'alive' and w.seen_at > now - interval '30 seconds'
), r as materialized (
  select * from heddle_run where id = %(run_id)s and tenant_id = %(tenant_id)s
), call as materialized (
  select s.* from r join heddle_step s on s.run_id = r.id
  where s.state in ('due', 'pending', 'waiting', 'unknown')
  order by array_position(array['unknown', 'pending', 'due', 'waiting'], s.state), s.ordinal
  limit 20
), seat as materialized (
  -- What may stand in a line: the run's activation, and due calls.
  select 0 as ordinal, r.lane, r.tenant_id, r.id from r where r.is_activation_due and r.state in ('queued', 'running')
  union all
  select c.ordinal, c.lane, c.tenant_id, c.run_id from call c where c.state = 'due'
), place as materialized (
  select x.ordinal, x.lane, p.place, p.waited_s, d.kind, d.queued, case when d.busy_s >= %(trusted_s)s then d.drained_per_s else 0 end as drained_per_s, d.tenants, d.rest, d.held_mean_s, d.held_square_s2,
    d.held_count, extract(epoch from now - d.at)::float8 as measured_ago_s
  from seat x
  cross join moment
  left join lateral (
    select q.place, greatest(0, extract(epoch from now - q.at))::float8 as waited_s
    from (
      select y.run_id, y.ordinal, y.at, row_number() over (order by y.seq) - 1 as place
      from (
        select * from heddle_ready y where y.lane = x.lane and y.tenant_id = x.tenant_id order by y.lane, y.tenant_id, y.seq limit 10001
      ) y
    ) q
    where q.run_id = x.id and q.ordinal = x.ordinal
    order by q.place limit 1
  ) p on true
  left join heddle_load d on d.lane = x.lane
)
select r.state, r.stopping, r.workflow, r.version, r.error ->> 'message' as error, r.tenant_id, r.is_activation_due,
  (select t.weight from heddle_tenant t where t.id = r.tenant_id) as weight,
  (select count(*) from alive)::int as workers,
  exists (select 1 from alive a where a.detail -> 'workflows' @> to_jsonb(r.workflow || '@' || r.version)) as is_loaded,
  (select extract(epoch from now - l.claimed_at)::float8 from heddle_lease l where l.run_id = r.id and l.ordinal = 0) as activating_s,
  (select json_object_agg(t.kind, extract(epoch from t.due_at - now)::float8) from heddle_timer t where t.run_id = r.id and t.ordinal = 0) as timers,
  (select json_object_agg(p.ordinal, to_jsonb(p)) from place p) as places,
  (select json_agg(x) from (
    select c.ordinal, c.kind, c.name, c.version, c.state, c.note, c.fault ->> 'fault' as fault, c.child_run, l.purpose,
      extract(epoch from now - l.claimed_at)::float8 as held_s,
      (select json_object_agg(t.kind, extract(epoch from t.due_at - now)::float8) from heddle_timer t
        where t.run_id = c.run_id and t.ordinal = c.ordinal) as timers,
      case when c.kind = 'step' then exists (select 1 from alive a
        where not a.detail ? 'steps' or a.detail -> 'steps' @> to_jsonb(c.name || '@' || c.version)) else true end as is_loaded,
      (select json_build_object('state', a.state, 'number', a.number, 'endpoint', e.name, 'accepted_ago_s',
          extract(epoch from now - a.accepted_at)::float8, 'unknown_ago_s', extract(epoch from now - a.unknown_at)::float8)
        from heddle_attempt a left join heddle_endpoint e on e.id = a.endpoint_id
        where a.run_id = c.run_id and a.ordinal = c.ordinal order by a.number desc limit 1) as attempt,
      case when c.state = 'pending' then (select extract(epoch from now - v.at)::float8 from heddle_event v
        where v.run_id = c.run_id and v.ordinal = c.ordinal and v.name = 'step.pending' order by v.seq desc limit 1) end as looked_ago_s,
      (select json_build_object('mean_s', d.held_mean_s, 'square_s2', d.held_square_s2, 'count', d.held_count)
        from heddle_load d where d.lane = c.lane and d.held_count > 0) as held,
      case when c.kind = 'model' and c.state = 'due' then (
        select json_agg(json_build_object('endpoint', e.name, 'tier', h.tier, 'after_s', coalesce(m.fallback_after_s, 30),
          'is_paused', e.paused_at is not null, 'scopes', (
          select json_agg(json_build_object('scope', v.name, 'concurrency', v.concurrency,
            'in_flight', v.in_flight - coalesce((select sum(d.released) from heddle_limit_delta d where d.scope_id = v.id), 0),
            'per_min', v.requests_per_min,
            'rate_in_s', case when v.requests_per_min is not null then greatest(0, extract(epoch from v.tat - now)
              - 60.0 / v.requests_per_min * (v.requests_burst - 1)) end::float8,
            'frozen_in_s', extract(epoch from greatest(v.frozen_until,
              (select max(d.frozen_until) from heddle_limit_delta d where d.scope_id = v.id)) - now)::float8,
            'is_short', v.full_since is not null and coalesce(v.tokens_per_min, v.images_per_min) is not null,
            'breaker', v.breaker, 'open_in_s', extract(epoch from v.open_until - now)::float8,
            'probe_in_s', extract(epoch from v.probe_until - now)::float8,
            'paused_in_s', extract(epoch from v.paused_until - now)::float8) order by v.id)
          from heddle_limit_state v where v.id = any(e.scope_ids))) order by h.tier, e.name)
        from heddle_route h
        join heddle_endpoint e on e.id = h.endpoint_id and e.is_enabled
        left join heddle_model m on m.name = h.model
        where h.model = c.name and coalesce(h.weight_now, h.weight) > 0
          and (select t.rule from heddle_tenant t where t.id = r.tenant_id) = any(h.rules)) end as endpoints,
      case when c.kind = 'model' and c.state = 'due' then (select to_json(t.regions) from heddle_tenant t where t.id = r.tenant_id) end as regions,
      c.kind = 'model' and exists (select 1 from heddle_model p where p.name = c.name and p.paused_at is not null) as is_model_paused
    from call c
    left join heddle_lease l on l.run_id = c.run_id and l.ordinal = c.ordinal
    order by c.ordinal
  ) x) as calls,
  exists (select 1 from heddle_tenant t where t.id = r.tenant_id and t.paused_at is not null) as is_tenant_paused,
  exists (select 1 from heddle_lineage g where g.sending_paused_at is not null) as is_sending_paused
from r cross join moment
