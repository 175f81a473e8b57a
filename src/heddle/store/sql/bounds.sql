-- Purpose: bound one transaction that goes through a pooler, where nothing may be set for a session: its statements, and its client's silence.
-- A client frozen in the middle of a pipeline counts as active: only transaction_timeout ends it, from PostgreSQL 17 on.
-- Caller: the worker's executor, first in each transaction through a pooler; session.sql does it once per direct connection. Rows: none.
-- Locks: none.
select set_config('statement_timeout', %(statement_timeout)s, true), set_config('idle_in_transaction_session_timeout', '10s', true),
  case when current_setting('server_version_num')::int >= 170000 then set_config('transaction_timeout', %(transaction_timeout)s, true) end
