-- Purpose: pin the planner for the statements of this transaction: their shape is known, their row counts are not.
-- Caller: the worker's executor, first in each transaction. Rows: none. Locks: none.
select set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
  set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)
