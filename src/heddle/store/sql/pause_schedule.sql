-- Purpose: let a tenant's schedule start nothing, or begin again; times in between are missed. Caller: doors. Rows: schedule. Locks: its row.
-- Index: its key. A second call changes nothing. Nothing matches: there is no such schedule.
update heddle_schedule set paused_at = case when %(is_paused)s then coalesce(paused_at, clock_timestamp()) end, updated_at = clock_timestamp()
where name = %(name)s and tenant_id = %(tenant_id)s and is_enabled
returning name
