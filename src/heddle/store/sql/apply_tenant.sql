-- Purpose: upsert a tenant's share. Caller: store.apply. Rows: tenant. Locks: that row.
insert into heddle_tenant (name, weight) values (%(name)s, %(weight)s)
on conflict (name) do update set weight = excluded.weight
