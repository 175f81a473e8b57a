-- Purpose: let an address that said it is gone be sent to again. Caller: operators, which audit it. Rows: deletes webhook_disabled.
-- Locks: its row. Index: its key. Nothing matches: it is not disabled.
delete from heddle_webhook_disabled where tenant_id = %(tenant_id)s and url = %(url)s returning at, reason
