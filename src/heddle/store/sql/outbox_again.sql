-- Purpose: let a webhook event be sent again from the start, under the same id. Caller: operators, which audit it. Rows: updates outbox.
-- Locks: its row. Index: its key. Nothing matches: there is no such event of the tenant's.
-- One that is being sent just now is sent once more: its present try, fenced off, can only still say that it was delivered.
update heddle_outbox set
  state = 'due', tries = 0, fence = fence + 1, next_at = clock_timestamp(), ended_at = null
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and seq = %(seq)s
returning type, url
