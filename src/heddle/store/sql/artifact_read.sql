-- Purpose: find a tenant's artifact. Caller: doors' artifact. Rows: reads artifact. Index: its key. Locks: none.
select media_type, size_bytes from heddle_artifact where tenant_id = %(tenant_id)s and sha256 = %(sha256)s
