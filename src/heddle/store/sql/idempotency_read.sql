-- Purpose: read what an idempotency key stands for. Caller: doors' submit, after idempotency_take gave nothing. Rows: reads idempotency. Locks: none.
select fingerprint, run_id, status, body, location from heddle_idempotency
where tenant_id = %(tenant_id)s and operation = %(operation)s and key = %(key)s
