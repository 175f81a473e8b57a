-- Purpose: pin the planner for the statements of a session, or of a transaction (is_local) through a pooler: their shape is known, their row
--   counts are not.
-- What a statement reaches it reaches by key, in pages that were just written: with the default cost of a random page, the planner takes reading a
--   whole index for cheaper than a hundred look-ups, and keeps to it when the table has grown.
-- PostgreSQL 18 (seen with 18.4) crashes where a statement prunes partitions as it runs and had to look again at a row that somebody else changed
--   while it waited: what it prunes with is freed by then. Which row a claim finds changed is chance, so nothing is pruned there (ADR 0039).
-- Caller: the worker's executor, once per direct connection, and first in each transaction through a pooler. Rows: none. Locks: none.
select set_config('plan_cache_mode', 'force_generic_plan', %(is_local)s), set_config('enable_seqscan', 'off', %(is_local)s),
  set_config('enable_hashjoin', 'off', %(is_local)s), set_config('enable_mergejoin', 'off', %(is_local)s), set_config('jit', 'off', %(is_local)s),
  set_config('random_page_cost', '0.01', %(is_local)s),
  set_config('enable_partition_pruning', case when current_setting('server_version_num')::int >= 180000 then 'off' else 'on' end, %(is_local)s)
