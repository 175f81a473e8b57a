-- Purpose: read what runs of each workflow have cost lately. Caller: doors' quotes, at most every few seconds a process.
-- Rows: reads workflow_cost, at most %(limit)s. Locks: none. Nothing matches: nothing has been measured.
select workflow, runs, median_nano_usd, p95_nano_usd, highest_nano_usd, at from heddle_workflow_cost order by workflow limit %(limit)s
