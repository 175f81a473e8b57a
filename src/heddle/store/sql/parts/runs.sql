-- Purpose: count on each run what a batch tells of it, wake its function where it waited for that, end it where nothing is left open, and tell of it.
--   Part of settle and settle_results, so that both know one law.
-- Needs before it: `moment` (now) and `tally`, one row a run: events to tell (`told`, `ordinals`, `events`, `details`), calls that ended (`ended` and `end_…`,
--   of which an array that is null says no), `cost`, `is_fallback`, `began_at`. Gives `runs`, one row for each run that was written.
judged as materialized (
  select t.*, r.id, a.hits, a.bad, a.is_broken, a.failures, a.error,
    r.function_state = 'running' and not r.is_activation_due and r.awaits is not null and
      (r.await_left - a.hits <= 0 or coalesce(r.await_failures_left - a.bad < 0, false)) as is_woken,
    r.function_state <> 'running' and r.open - t.ended = 0 and r.state in ('queued', 'running') as is_over
  from tally t
  cross join lateral (
    select r.id, r.function_state, r.is_activation_due, r.awaits, r.await_left, r.await_failures_left, r.open, r.state, r.refs, r.handled
    from heddle_run r where r.id = t.run_id offset 0
  ) r
  cross join lateral (
    select count(*) filter (where e.ordinal = any(r.awaits))::int as hits,
      count(*) filter (where e.ordinal = any(r.awaits) and not e.is_good)::int as bad,
      coalesce(bool_or(e.ordinal = any(r.refs) and not e.is_good), false) as is_broken,
      count(*) filter (where e.is_failure and not e.ordinal = any(r.handled))::int as failures,
      (array_agg(e.error) filter (where e.is_failure and not e.ordinal = any(r.handled)))[1] as error
    from unnest(t.end_ordinals, t.end_goods, t.end_failures, t.end_errors) as e (ordinal, is_good, is_failure, error)
  ) a
), runs as (
  update heddle_run r set
    open = r.open - j.ended,
    failed = r.failed + j.failures,
    cost_nano_usd = r.cost_nano_usd + j.cost,
    error = coalesce(r.error, j.error),
    is_broken = r.is_broken or j.is_broken,
    is_degraded = r.is_degraded or coalesce(j.is_fallback, false),
    await_left = r.await_left - j.hits,
    await_failures_left = r.await_failures_left - j.bad,
    awaits = case when j.is_woken then null else r.awaits end,
    is_activation_due = r.is_activation_due or j.is_woken,
    event_seq = r.event_seq + j.told + case when j.is_over then 1 else 0 end,
    state = case when r.state = 'queued' and not j.is_over then 'running' when not j.is_over then r.state
      when r.stopping in ('cancelled', 'expired') then r.stopping
      when r.function_state = 'returned' and r.failed + j.failures = 0 and not (r.is_broken or j.is_broken) then 'succeeded'
      else 'failed' end,
    started_at = case when r.state = 'queued' then coalesce(j.began_at, now) else r.started_at end,
    finished_at = case when j.is_over then now else r.finished_at end
  from judged j
  cross join moment
  where r.id = j.id
  returning r.id, r.state, r.event_seq, j.is_woken, j.is_over, r.lane, r.tenant_id, r.parent_run, r.parent_ordinal, r.workflow, r.priority,
    r.created_at, r.finished_at, r.webhook_url, r.labels ? 'gateway' as is_awaited, j.ordinals,
    case when j.is_over then j.events || ('run.' || r.state) else j.events end as events, j.details
), told as (
  insert into heddle_event (run_id, seq, name, ordinal, at, detail)
  select r.id, r.event_seq, case cardinality(r.events) when 1 then r.events[1] else 'batch' end,
    case cardinality(r.events) when 1 then r.ordinals[1] end, now,
    case cardinality(r.events) when 1 then r.details[1] else (
      select jsonb_build_object('of', jsonb_agg(jsonb_build_array(n.ordinal, n.event, n.detail) order by n.place))
      from unnest(r.ordinals, r.events, r.details) with ordinality as n (ordinal, event, detail, place)) end
  from runs r cross join moment
  where r.events is not null
),
-- include: ends
