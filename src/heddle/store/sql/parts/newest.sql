-- The newest run of the chain of `r`, which has an id and a chain_first: as the first of the chain tells; where that has gone with its week, from
-- the run itself or from the one that heddle_chain names, whichever is later in the chain and there, link by link (what heddle_chain names is the
-- newest but for links that workers of the release before it have made). Null: neither is there. Indexes: keys.
coalesce((select f.chain_last from heddle_run f where f.id = coalesce(r.chain_first, r.id)), (
  with recursive link (id, next, n) as (
    (select s.id, s.continued_as, 1
    from (select r.id union all select c.last from heddle_chain c where c.first = coalesce(r.chain_first, r.id)) k
    cross join lateral (select b.id, b.continued_as, b.chain_number from heddle_run b where b.id = k.id offset 0) s
    order by s.chain_number desc nulls last
    limit 1)
    union all
    select x.id, x.continued_as, l.n + 1 from link l
    cross join lateral (select c.id, c.continued_as from heddle_run c where c.id = l.next offset 0) x
    where l.n < 10000
  ) select l.id from link l order by l.n desc limit 1))
