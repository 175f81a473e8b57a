-- Purpose: make a tenant if it is not there. Caller: doors' tenant; tenant_read is the next statement. Rows: inserts tenant. Locks: none that exist.
insert into heddle_tenant (name) values (%(name)s) on conflict do nothing
