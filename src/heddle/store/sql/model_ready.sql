-- Purpose: tell whether any model call is ready: claim_model is a long statement, not worth starting for nothing.
-- Caller: engine.claim, before claim_model. Rows: reads one ready row a lane. Locks: none. Index: ready's key.
select true as is_ready
from unnest(%(lanes)s::bigint[]) as w (lane)
where (select true from heddle_ready y where y.lane = w.lane limit 1)
limit 1
