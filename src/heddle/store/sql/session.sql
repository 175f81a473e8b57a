-- Purpose: bound what one connection of a worker may hold up: statements, transactions whose client has frozen, and sessions whose client a
--   partition has taken away (half a minute instead of the two hours of most systems). On a Unix socket the last four do nothing.
-- A client frozen in the middle of a pipeline counts as active: only transaction_timeout ends it, from PostgreSQL 17 on.
-- Caller: the worker's executor, once per connection. Rows: none. Locks: none.
select set_config('statement_timeout', %(statement_timeout)s, false), set_config('idle_in_transaction_session_timeout', '10s', false),
  case when current_setting('server_version_num')::int >= 170000 then set_config('transaction_timeout', %(transaction_timeout)s, false) end,
  set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
  set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '20000', false)
