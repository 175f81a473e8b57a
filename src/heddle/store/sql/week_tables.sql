-- Purpose: list the weekly tables of one parent: attached, pending (a detachment that was cut off) or alone. Caller: store.retaining.
-- Rows: reads the catalogue. Bounded by limit. Locks: none.
select c.relname, case when i.inhrelid is null then 'alone' when i.inhdetachpending then 'pending' else 'attached' end as state
from pg_class c
left join pg_inherits i on i.inhrelid = c.oid
where c.relkind = 'r' and c.relnamespace = (select p.relnamespace from pg_class p where p.oid = ('heddle_' || %(parent)s)::regclass)
  and c.relname ~ ('^heddle_' || %(parent)s || '_p\d{8}$')
order by c.relname
limit %(limit)s
