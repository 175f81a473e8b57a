-- Purpose: read what the gauges show: oldest and count of ready rows by class of lane, leases, unknown steps. Caller: engine.observe, the leader.
-- Rows: reads ready, lease, slot. Bounded: ready is counted up to 100,000 rows a class.
select
  (select json_object_agg(lane, json_build_array(n, age)) from (
    select lane, count(*) as n, extract(epoch from clock_timestamp() - min(at))::float8 as age
    from (select lane, at from heddle_ready limit 100000) y group by lane) g) as ready,
  (select json_object_agg(purpose, n) from (select purpose, count(*) as n from heddle_lease group by purpose) l) as leases,
  (select json_object_agg(name, n) from (
    select e.name, count(*) as n from heddle_slot k join heddle_endpoint e on e.id = k.endpoint_id group by e.name) s) as slots,
  (select count(*) from heddle_timer where due_at < clock_timestamp() - interval '5 seconds')::int as late_timers
