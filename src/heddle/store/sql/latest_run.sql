-- Purpose: name the run that a tenant's run has gone on as, itself when it has not. Caller: doors' cancel and signal. Rows: reads run.
-- Index: its key. Locks: none. Nothing matches: the tenant has no such run.
select coalesce(f.chain_last, r.id)
from heddle_run r
left join heddle_run f on r.continued_as is not null and f.id = coalesce(r.chain_first, r.id)
where r.id = %(run_id)s and r.tenant_id = %(tenant_id)s
