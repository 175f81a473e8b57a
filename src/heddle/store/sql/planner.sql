-- Purpose: pin the planner for the statements of this transaction: their shape is known, their row counts are not.
-- What a statement reaches it reaches by key, in pages that were just written: with the default cost of a random page, the planner takes reading a
--   whole index for cheaper than a hundred look-ups, and keeps to it when the table has grown.
-- Caller: the worker's executor, first in each transaction. Rows: none. Locks: none.
select set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
  set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true),
  set_config('random_page_cost', '0.01', true)
