-- Purpose: tell whether any artifact was ever kept. Caller: readiness, where the storage holds none. Rows: reads artifact. Locks: none.
select exists (select 1 from heddle_artifact) as is_known
