-- Purpose: name the run that a tenant's run has gone on as, itself when it has not; also by the first of a chain that has gone with its week.
-- Caller: doors' cancel and signal, and every other when it finds no run of an id. Rows: reads run, chain. Indexes: keys. Locks: none.
-- Nothing matches: the tenant has no such run, or its chain has gone to the last.
select newest.id from (
  select r.id, r.chain_first from heddle_run r where r.id = %(run_id)s and r.tenant_id = %(tenant_id)s
  union all
  select c.first, c.first from heddle_chain c where c.first = %(run_id)s and c.tenant_id = %(tenant_id)s
  limit 1
) r
cross join lateral (select
-- include: newest
  as id) newest
where newest.id is not null
