-- Purpose: give a tenant's oldest run and the database's time, between which a bulk operation looks. Caller: operators.
-- Rows: reads one run. Index: run's (tenant_id, id). Locks: none.
select (select r.id from heddle_run r where r.tenant_id = %(tenant_id)s order by r.tenant_id, r.id limit 1) as first,
  extract(epoch from clock_timestamp())::float8 as now_s
