-- Purpose: remember which run a call of a workflow became, and of one that was retried those it became before (`before` of its options): what they
--   have cost counts against the cap above them. Caller: engine.schedule. Rows: step. Locks: run (held) -> step. Index: step's key.
update heddle_step s set
  options = case when s.child_run is null then s.options else coalesce(s.options, '{}')
    || jsonb_build_object('before', coalesce(s.options -> 'before', '[]') || jsonb_build_array(s.child_run)) end,
  child_run = w.child
from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(children)s::uuid[]) as w (run_id, ordinal, child)
where s.run_id = w.run_id and s.ordinal = w.ordinal
