-- Purpose: number the sets of regions that tenants name (0: none named) and list for each route whose calls may go there. Caller: store.apply, last.
-- Rows: updates tenant and route where something changed. Locks: tenant -> route, in the transaction of apply.
-- A tenant that the file no longer names keeps its regions: it may have calls in line. Nothing matches: no tenant names a region.
with named as materialized (
  select regions, row_number() over (order by regions)::int as rule from (select distinct regions from heddle_tenant where regions is not null) t
), ruled as (
  update heddle_tenant t set rule = w.rule
  from (
    select t.id, coalesce(n.rule, 0) as rule from heddle_tenant t left join named n on n.regions = t.regions
  ) w
  where t.id = w.id and t.rule <> w.rule
)
update heddle_route r set rules = w.rules
from (
  select r.model, r.endpoint_id, 0 || coalesce(array_agg(n.rule order by n.rule) filter (where n.regions && e.regions), '{}') as rules
  from heddle_route r
  join heddle_endpoint e on e.id = r.endpoint_id
  left join named n on true
  group by r.model, r.endpoint_id
) w
where r.model = w.model and r.endpoint_id = w.endpoint_id and r.rules <> w.rules
