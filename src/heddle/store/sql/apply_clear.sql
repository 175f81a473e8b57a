-- Purpose: disable endpoints the file no longer names (attempts refer to them) and remove all routes. Caller: store.apply. Rows: deletes route, updates endpoint. Locks: route -> endpoint.
with gone as (
  delete from heddle_route
)
update heddle_endpoint set is_enabled = false where not name = any(%(names)s::text[]) and is_enabled
