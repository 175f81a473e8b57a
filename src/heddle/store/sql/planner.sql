-- Purpose: pin the planner for the statements of a session, or of a transaction (is_local) through a pooler: their shape is known, their row
--   counts are not.
-- What a statement reaches it reaches by key, in pages that were just written: with the default cost of a random page, the planner takes reading a
--   whole index for cheaper than a hundred look-ups, and keeps to it when the table has grown.
-- Caller: the worker's executor, once per direct connection, and first in each transaction through a pooler. Rows: none. Locks: none.
select set_config('plan_cache_mode', 'force_generic_plan', %(is_local)s), set_config('enable_seqscan', 'off', %(is_local)s),
  set_config('enable_hashjoin', 'off', %(is_local)s), set_config('enable_mergejoin', 'off', %(is_local)s), set_config('jit', 'off', %(is_local)s),
  set_config('random_page_cost', '0.01', %(is_local)s)
