-- Purpose: write what the leader decided for scopes: slots of adaptive ones, and up to which count retries may be sent. Caller: engine.govern.
-- Rows: limit_state (skip locked: a scope that a claim holds gets its order half a second later). Locks in order: limit rows by id.
-- Index: its key. Slots are only written where the scope adapts, so neither a file that was just applied nor an operator is overruled.
with w as materialized (
  select * from unnest(%(ids)s::int[], %(slots)s::int[], %(uptos)s::bigint[]) as w (id, slots, upto)
), scope as materialized (
  select s.id from heddle_limit_state s where s.id = any(%(ids)s::int[]) order by s.id for no key update skip locked
), governed as (
  update heddle_limit_state s set
    concurrency = case when s.concurrency_max is null or w.slots is null
        or exists (select 1 from heddle_limit_override o where o.scope_id = s.id) then s.concurrency
      else least(s.concurrency_max, greatest(s.concurrency_min, w.slots)) end,
    retries_upto = w.upto,
    governed_at = clock_timestamp()
  from w
  where s.id = w.id and w.id = any(array(select id from scope))
  returning s.id
)
select count(*)::int as governed from governed
