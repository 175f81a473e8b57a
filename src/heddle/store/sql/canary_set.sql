-- Purpose: write what an operator decided about a route over the file; a start begins to count anew. Caller: operators' canaries, after
--   canary_route in the same transaction. Rows: upserts canary, updates route. Locks: route (held) -> canary.
-- One that is started gets its share within seconds, from the leader.
with kept as (
  insert into heddle_canary as c (model, endpoint_id, state, share, margin, reason)
  values (%(model)s, %(endpoint)s, %(state)s, %(share)s, %(margin)s, %(reason)s)
  on conflict (model, endpoint_id) do update set state = excluded.state, reason = excluded.reason, changed_at = clock_timestamp(),
    share = case when excluded.state = 'running' then excluded.share else c.share end,
    margin = case when excluded.state = 'running' then excluded.margin else c.margin end,
    started_at = case when excluded.state = 'running' then clock_timestamp() else c.started_at end,
    tried = case when excluded.state = 'running' then 0 else c.tried end,
    bad = case when excluded.state = 'running' then 0 else c.bad end,
    baseline_tried = case when excluded.state = 'running' then 0 else c.baseline_tried end,
    baseline_bad = case when excluded.state = 'running' then 0 else c.baseline_bad end
)
update heddle_route r set weight_now = case %(state)s::text when 'promoted' then null else 0 end
where r.model = %(model)s and r.endpoint_id = %(endpoint)s
