-- Purpose: tell whether a run is this tenant's, and how it stands. Caller: every door. Rows: reads run. Index: its key. Locks: none.
select state, stopping from heddle_run where id = %(run_id)s and tenant_id = %(tenant_id)s
