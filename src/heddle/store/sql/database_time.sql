-- Purpose: read the database's clock. Caller: the executors when they connect. Rows: none. Locks: none.
select extract(epoch from clock_timestamp())::float8 as now_s
