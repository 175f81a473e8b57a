-- Purpose: write one schedule; its next time is kept unless what says when it comes has changed, or it was off. Caller: migrate.
-- Rows: upserts schedule. Locks: its row. Index: its key. Nothing matches: it is inserted.
insert into heddle_schedule as s (name, tenant_id, workflow, input, cron, time_zone, catch_up, catch_up_max, priority, deadline_s,
  max_cost_nano_usd, labels, next_at)
values (%(name)s, %(tenant_id)s, %(workflow)s, %(input)s::jsonb, %(cron)s, %(time_zone)s, %(catch_up)s, %(catch_up_max)s, %(priority)s,
  %(deadline_s)s, %(max_cost)s, %(labels)s::jsonb, %(next_at)s)
on conflict (name) do update set
  tenant_id = excluded.tenant_id, workflow = excluded.workflow, input = excluded.input, cron = excluded.cron, time_zone = excluded.time_zone,
  catch_up = excluded.catch_up, catch_up_max = excluded.catch_up_max, priority = excluded.priority, deadline_s = excluded.deadline_s,
  max_cost_nano_usd = excluded.max_cost_nano_usd, labels = excluded.labels, is_enabled = true, problem = null, updated_at = clock_timestamp(),
  next_at = case when s.is_enabled and s.cron = excluded.cron and s.time_zone = excluded.time_zone then s.next_at else excluded.next_at end
