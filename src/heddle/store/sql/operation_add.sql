-- Purpose: write a bulk operation, from the tenant's first run to those that exist now. Caller: operators' start_operation.
-- Rows: inserts operation, reads one run. Index: run's (tenant_id, id). Locks: none.
insert into heddle_operation (id, tenant_id, action, priority, filter, actor, first, cursor, until)
values (%(id)s, %(tenant_id)s, %(action)s, %(priority)s, %(filter)s::jsonb, %(actor)s, %(first)s, %(first)s, %(until)s)
