-- Purpose: remember which run a call of a workflow became. Caller: engine.schedule. Rows: step. Locks: run (held) -> step. Index: step's key.
update heddle_step s set child_run = w.child
from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(children)s::uuid[]) as w (run_id, ordinal, child)
where s.run_id = w.run_id and s.ordinal = w.ordinal
