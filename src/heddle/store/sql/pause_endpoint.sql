-- Purpose: pause or resume an endpoint, and tell since when it was paused before. Caller: operators' pause and resume.
-- Rows: updates endpoint. Index: its name. Locks: that row. Nothing matches: there is no endpoint of this name.
with old as materialized (
  select id, paused_at from heddle_endpoint where name = %(name)s for no key update
)
update heddle_endpoint e set paused_at = case when %(is_paused)s then coalesce(old.paused_at, clock_timestamp()) end
from old
where e.id = old.id
returning old.paused_at as before, e.paused_at as after
