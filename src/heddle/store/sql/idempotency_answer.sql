-- Purpose: keep the answer that replays of a key are given. Caller: doors' store_answer. Rows: one idempotency row. Index: key. Locks: that row.
update heddle_idempotency set status = %(status)s, body = %(body)s, location = %(location)s
where tenant_id = %(tenant_id)s and operation = %(operation)s and key = %(key)s
