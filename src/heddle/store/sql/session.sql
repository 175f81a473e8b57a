-- Purpose: bound what one connection of a worker may hold up: statements, and transactions whose client has frozen.
-- Caller: the worker's executor, once per connection. Rows: none. Locks: none.
select set_config('statement_timeout', %(statement_timeout)s, false), set_config('idle_in_transaction_session_timeout', '10s', false)
