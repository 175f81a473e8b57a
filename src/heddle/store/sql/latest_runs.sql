-- Purpose: name the runs that runs have gone on as by now, themselves when they have not. Caller: engine.operate, before it stops or moves them.
-- Rows: reads run, chain. Indexes: keys. Locks: none. Nothing matches: none of the runs is there.
select distinct case when r.continued_as is null then r.id else
-- include: newest
  end as id
from heddle_run r
where r.id = any(%(run_ids)s::uuid[])
order by id
