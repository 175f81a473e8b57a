-- Purpose: show the addresses of a tenant that get nothing any more, those that said so last first. Caller: operators.
-- Rows: reads webhook_disabled. Index: its key, all of the tenant's rows. Locks: none. Bounded by limit.
-- The digest makes the order of one moment's addresses certain and a cursor short, and keeps addresses, which may hold secrets, out of it.
select d.url, d.reason, d.at, d.digest
from (select url, reason, at, hashtextextended(url, 0) as digest from heddle_webhook_disabled where tenant_id = %(tenant_id)s) d
where %(before_at)s::timestamptz is null or (d.at, d.digest) < (%(before_at)s::timestamptz, %(before_digest)s::bigint)
order by d.at desc, d.digest desc
limit %(limit)s
