-- Purpose: read what one sentence about a run needs. Caller: doors' why. Rows: reads run, step, lease, timer, ready, worker, endpoint.
-- Indexes: keys. Bounded: at most 20 open calls. Locks: none.
select r.state, r.stopping, r.is_activation_due, r.workflow, r.error ->> 'message' as error,
  (select count(*) from heddle_worker w where w.state = 'alive' and w.seen_at > clock_timestamp() - interval '30 seconds')::int as workers,
  exists (select 1 from heddle_lease l where l.run_id = r.id and l.ordinal = 0) as is_activating,
  r.version, exists (select 1 from heddle_worker w where w.state = 'alive' and w.seen_at > clock_timestamp() - interval '30 seconds'
    and w.detail -> 'workflows' @> to_jsonb(r.workflow || '@' || r.version)) as is_loaded,
  (select json_agg(x) from (
    select s.ordinal, s.kind, s.name, s.state, s.note, l.purpose,
      extract(epoch from clock_timestamp() - l.claimed_at)::float8 as held_s,
      (select extract(epoch from min(t.due_at) - clock_timestamp())::float8 from heddle_timer t
       where t.run_id = s.run_id and t.ordinal = s.ordinal) as due_in_s,
      (select count(*) from (select 1 from heddle_ready y where y.lane = s.lane limit 10000) q) as in_line,
      (select json_agg(json_build_object('endpoint', e.name, 'breaker', v.breaker, 'full', v.concurrency <= v.in_flight, 'concurrency',
          v.concurrency, 'paused', coalesce(v.paused_until > clock_timestamp(), false) or e.paused_at is not null))
       from heddle_route h join heddle_endpoint e on e.id = h.endpoint_id and e.is_enabled
       join heddle_limit_state v on v.id = any(e.scope_ids) where s.kind = 'model' and h.model = s.name) as endpoints
    from heddle_step s
    left join heddle_lease l on l.run_id = s.run_id and l.ordinal = s.ordinal
    where s.run_id = r.id and s.state in ('due', 'pending', 'waiting', 'unknown')
    order by array_position(array['unknown', 'pending', 'due', 'waiting'], s.state), s.ordinal
    limit 20
  ) x) as open
from heddle_run r
where r.id = %(run_id)s and r.tenant_id = %(tenant_id)s
