-- Purpose: read tenants' names. Caller: engine.worker, refreshed. Rows: reads tenant. Bounded: 100,000. Locks: none.
select id, name from heddle_tenant order by id limit 100000
