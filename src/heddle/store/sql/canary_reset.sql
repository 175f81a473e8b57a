-- Purpose: go back to what the file says of a route. Caller: operators' canaries, after canary_route in the same transaction.
-- Rows: deletes canary, updates route. Locks: route (held) -> canary. Nothing matches: nothing was decided over the file.
with gone as (
  delete from heddle_canary c where c.model = %(model)s and c.endpoint_id = %(endpoint)s returning c.model, c.endpoint_id
)
update heddle_route r set weight_now = case when r.is_canary then 0 end
from gone g
where r.model = g.model and r.endpoint_id = g.endpoint_id
returning r.endpoint_id
