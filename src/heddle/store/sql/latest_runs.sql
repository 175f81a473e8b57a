-- Purpose: name the runs that runs have gone on as by now, themselves when they have not. Caller: engine.operate, before it stops or moves them.
-- Where the first of a chain has gone with its week, the way is gone link by link. Rows: reads run. Index: its key. Locks: none.
-- Nothing matches: none of the runs is there.
select distinct coalesce(f.chain_last, case when r.continued_as is not null then (
    with recursive link (id, next, n) as (
      select r.id, r.continued_as, 1
      union all
      select x.id, x.continued_as, l.n + 1 from link l
      cross join lateral (select c.id, c.continued_as from heddle_run c where c.id = l.next offset 0) x
      where l.n < 10000
    ) select l.id from link l order by l.n desc limit 1) end, r.id) as id
from heddle_run r
left join lateral (
  select c.chain_last from heddle_run c where r.continued_as is not null and c.id = coalesce(r.chain_first, r.id) offset 0
) f on true
where r.id = any(%(run_ids)s::uuid[])
order by id
