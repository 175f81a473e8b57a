-- Purpose: name the run that a tenant's run has gone on as, itself when it has not. Caller: doors' cancel and signal. Rows: reads run.
-- Where the first of the chain has gone with its week, the way is gone link by link. Index: its key. Locks: none. Nothing matches: the tenant has no such run.
select coalesce(f.chain_last, case when r.continued_as is not null then (
    with recursive link (id, next, n) as (
      select r.id, r.continued_as, 1
      union all
      select x.id, x.continued_as, l.n + 1 from link l
      cross join lateral (select c.id, c.continued_as from heddle_run c where c.id = l.next offset 0) x
      where l.n < 10000
    ) select l.id from link l order by l.n desc limit 1) end, r.id)
from heddle_run r
left join heddle_run f on r.continued_as is not null and f.id = coalesce(r.chain_first, r.id)
where r.id = %(run_id)s and r.tenant_id = %(tenant_id)s
