-- Purpose: end a running canary and give its route nothing more; the audit trail says why. Caller: engine.routing, the leader; operators.
-- Rows: updates canary and route, inserts audit. Locks: route -> canary, as operators do.
-- Nothing matches: it no longer runs, or was started anew since it was looked at and has counted less; nothing is written.
with held as materialized (
  select r.model, r.endpoint_id from heddle_route r where r.model = %(model)s and r.endpoint_id = %(endpoint)s for no key update
), ended as (
  update heddle_canary c set state = 'rolled_back', reason = %(reason)s, changed_at = clock_timestamp()
  from held h join heddle_endpoint e on e.id = h.endpoint_id
  where c.model = h.model and c.endpoint_id = h.endpoint_id and c.state = 'running' and c.tried >= %(tried)s
  returning c.model, c.endpoint_id, e.name, c.share, c.tried, c.bad, c.baseline_tried, c.baseline_bad
), closed as (
  update heddle_route r set weight_now = 0 from ended x where r.model = x.model and r.endpoint_id = x.endpoint_id
), told as (
  insert into heddle_audit (actor, action, subject, before, after)
  select %(actor)s, 'canary.rollback', 'route ' || x.model || ' ' || x.name,
    jsonb_build_object('state', 'running', 'share', x.share, 'tried', x.tried, 'bad', x.bad, 'baseline_tried', x.baseline_tried,
      'baseline_bad', x.baseline_bad),
    jsonb_build_object('state', 'rolled_back', 'reason', %(reason)s::text)
  from ended x
)
select count(*)::int as ended from ended
