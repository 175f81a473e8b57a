-- Purpose: end the pause of all sending that a restore began. Callers: operators' resume_sending, engine.restore.
-- Rows: updates lineage (its one row). Locks: that row. Nothing matches: sending was not paused.
update heddle_lineage set sending_paused_at = null where sending_paused_at is not null returning restored_at
