-- Purpose: let go of the steps that took a value from what has ended: one value fewer to wait for, and due, begun or skipped. Part of settle and settle_results,
--   so that both know one law.
-- Needs before it: `moment` (now) and `kid`, one row for each call with how many of those it waits for have succeeded (`ok`), and whether one did not
--   (`is_bad`, `cause`). Gives `placed` (due now; with a fence where it was leased at once), `moved` and `handed` (what was leased, for the worker).
-- A local step that became due goes to the settling worker at once, as in plan.sql: where nothing is ready in its lane and a place is offered.
blocked as materialized (
  select k.* from kid k
  cross join lateral (
    select 1 from heddle_step s where s.run_id = k.run_id and s.ordinal = k.ordinal and s.state = 'blocked' offset 0
  ) s
), moved as (
  update heddle_step s set
    blockers = s.blockers - k.ok,
    state = case when k.is_bad then 'skipped' when s.blockers > k.ok then 'blocked'
      when s.kind in ('step', 'model') then 'due' else 'waiting' end,
    fault = case when k.is_bad then jsonb_build_object('fault', 'rejected_permanent', 'message',
      'skipped: call ' || k.cause || ', which it takes a value from, failed', 'where', '') end,
    finished_at = case when k.is_bad then now end
  from blocked k
  cross join moment
  where s.run_id = k.run_id and s.ordinal = k.ordinal
  returning s.run_id, s.ordinal, s.state, s.kind, s.lane, s.tenant_id, s.name, s.version, s.input, s.options, s.parents, s.attempts,
    s.attempts_before, s.epoch, s.crashes
), open_lane as materialized (
  select m.lane, (%(direct_groups)s::int[])[array_position(%(direct_lanes)s::bigint[], m.lane)] as grp
  from (select distinct lane from moved where state = 'due' and kind = 'step') m
  where (select true from heddle_ready y where y.lane = m.lane limit 1) is null
), placed as materialized (
  select m.*, case when m.place <= (%(direct_places)s::int[])[m.grp] then nextval('heddle_fence_seq') end as direct_fence
  from (
    select m.*, o.grp, row_number() over (partition by o.grp order by m.run_id, m.ordinal) as place
    from moved m left join open_lane o on o.lane = m.lane
      and not exists (select 1 from heddle_tenant t where t.id = m.tenant_id and t.paused_at is not null)
    where m.state = 'due'
  ) m
), leased as (
  insert into heddle_lease (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, purpose, claimed_at)
  select run_id, ordinal, %(worker)s, direct_fence, %(claim_id)s, attempts + 1, lane, tenant_id, 'execute', now
  from placed cross join moment where direct_fence is not null
), readied as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select lane, tenant_id, run_id, ordinal from placed where direct_fence is null order by run_id, ordinal
), begun as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select run_id, ordinal, 'begin', now from moved cross join moment where state = 'waiting'
  on conflict do nothing
), handed as materialized (
  select json_agg(json_build_array(p.run_id, p.ordinal, p.direct_fence, p.attempts + 1, p.tenant_id, p.name, p.version, p.input, p.options,
    p.attempts_before, p.epoch, p.crashes, p.parents, (
      select json_object_agg(s.ordinal, s.output) from heddle_step s
      where s.run_id = p.run_id and s.ordinal = any(p.parents) and s.state = 'succeeded'),
    r.workflow, r.version, r.traceparent,
    -- What became due after the deadline is not begun; nothing left would tell the cleanup of a stopping run.
    case when r.deadline_at <= now and r.stopping is null then 1e-6 else extract(epoch from r.deadline_at - now) end::float8, r.priority)) as leased
  from placed p
  cross join moment
  cross join lateral (
    select r.workflow, r.version, r.traceparent, r.deadline_at, r.priority, r.stopping from heddle_run r where r.id = p.run_id offset 0
  ) r
  where p.direct_fence is not null
