-- Purpose: ring the doorbell of every worker, or tell them which run was stopped. Callers: doors after commit, transports. Rows: none.
-- Never inside the transaction that makes work ready: commits of notifying transactions wait for each other. Locks: none.
select pg_notify(%(channel)s, %(payload)s)
