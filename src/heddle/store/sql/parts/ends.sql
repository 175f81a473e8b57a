-- Purpose: what follows from runs that were woken or have ended: what a customer is told, the function's turn, the word to the run above, timers that are
--   over. Part of plan, and of parts/runs in settle and settle_results, so that all know one law.
-- Needs before it: `moment` (now) and `runs`, one row for each run that was written, with `is_over` and `is_woken`.
posted as (
  insert into heddle_outbox (run_id, seq, tenant_id, type, url, at, next_at)
  select id, event_seq, tenant_id, 'run.' || state, webhook_url, finished_at, finished_at from runs where is_over and webhook_url is not null
), woken as (
  insert into heddle_ready (lane, tenant_id, run_id, ordinal)
  select lane, tenant_id, id, 0 from runs where is_woken
), raised as (
  insert into heddle_timer (run_id, ordinal, kind, due_at)
  select parent_run, parent_ordinal, 'child', now from runs cross join moment where is_over and parent_run is not null
  on conflict do nothing
), tidied as (
  delete from heddle_timer t where t.ctid = any(array(
    select t.tid from runs r
    cross join lateral (select t.ctid as tid from heddle_timer t where t.run_id = r.id and t.ordinal = 0 offset 0) t
    where r.is_over))
