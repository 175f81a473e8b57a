-- Purpose: lock, of the runs whose paid calls are about to be sent and of those above them, those with a cap on their cost, so that two workers cannot both spend the
--   last of it. Caller: engine.execute, before mark_sending in the same transaction. Rows: locks run by id. Index: run's key.
-- Nothing matches: no run of the batch has a cap, and nothing is locked. Locks: run by id.
select count(*) as locked from (
  select 1 from "heddle_run"
  where id = any(array(select coalesce(cap_run, id) from heddle_run where id = any(%(runs)s::uuid[]))) and max_cost_nano_usd is not null
  order by id for no key update
) x
