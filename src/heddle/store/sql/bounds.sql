-- Purpose: bound one transaction that goes through a pooler, where nothing may be set for a session: its statements, and its client's silence.
-- Caller: the worker's executor, first in each transaction through a pooler; session.sql does it once per direct connection. Rows: none.
-- Locks: none.
select set_config('statement_timeout', %(statement_timeout)s, true), set_config('idle_in_transaction_session_timeout', '10s', true)
