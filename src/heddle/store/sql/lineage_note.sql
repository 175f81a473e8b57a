-- Purpose: note which history of the database this is; a new one pauses all sending, and runs that are there now are looked up before their
--   calls are sent. Caller: store.upkeep, after lineage_read. Rows: upserts lineage (its one row). Locks: that row.
-- A second call with the same history changes nothing and gives no row.
insert into heddle_lineage as g (system_identifier, timeline) values (%(system_identifier)s, %(timeline)s)
on conflict (is_only) do update set
  system_identifier = excluded.system_identifier, timeline = excluded.timeline, noted_at = clock_timestamp(),
  restored_at = clock_timestamp(), restored_before = %(restored_before)s, sending_paused_at = clock_timestamp()
where (g.system_identifier, g.timeline) is distinct from (excluded.system_identifier, excluded.timeline)
returning g.restored_at is not null as is_new
