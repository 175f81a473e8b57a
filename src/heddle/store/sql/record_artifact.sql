-- Purpose: note that a tenant owns an artifact. Callers: doors' upload, engine.execute. Rows: artifact. A second call changes nothing.
-- Locks: none that exist.
insert into heddle_artifact (tenant_id, sha256, media_type, size_bytes)
values (%(tenant_id)s, %(sha256)s, %(media_type)s, %(size_bytes)s)
on conflict do nothing
