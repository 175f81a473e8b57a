-- Purpose: read a tenant by name. Caller: doors' tenant. Rows: reads tenant. Index: its name. Locks: none.
select id, name, weight from heddle_tenant where name = %(name)s
