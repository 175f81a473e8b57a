-- Purpose: take the schedules whose time has come and whose workflow is loaded here; who holds their rows starts their runs.
-- Caller: engine.recur, first in its transaction. Rows: locks schedule (skip locked: another worker is at it). Index: next_at.
-- Nothing matches: nothing is due. Locks: schedule.
select s.name, s.tenant_id, s.workflow, s.input, s.cron, s.time_zone, s.catch_up, s.catch_up_max, s.priority, s.deadline_s, s.max_cost_nano_usd,
  s.labels, s.next_at, clock_timestamp() as now
from heddle_schedule s
where s.is_enabled and s.paused_at is null and s.next_at <= clock_timestamp() - make_interval(secs => %(behind_s)s)
  and s.workflow = any(%(workflows)s::text[])
order by s.next_at, s.name
limit %(limit)s
for no key update skip locked
