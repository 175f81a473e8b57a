-- Purpose: pause or resume a tenant, and tell since when it was paused before. Caller: operators' pause and resume.
-- Rows: updates tenant. Index: its name. Locks: that row. Nothing matches: there is no tenant of this name.
with old as materialized (
  select id, paused_at from heddle_tenant where name = %(name)s for no key update
)
update heddle_tenant t set paused_at = case when %(is_paused)s then coalesce(old.paused_at, clock_timestamp()) end
from old
where t.id = old.id
returning old.paused_at as before, t.paused_at as after
