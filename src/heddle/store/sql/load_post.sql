-- Purpose: tell what this worker has taken and ended since it last told, by lane. Caller: engine.load, once a second and only when there is
--   something. Rows: inserts load_delta. Locks: none that exist.
insert into heddle_load_delta (lane, kind, name, version, priority, taken, ended, held_s, held_s2)
select * from unnest(%(lanes)s::bigint[], %(kinds)s::text[], %(names)s::text[], %(versions)s::int[], %(priorities)s::text[],
  %(taken)s::int[], %(ended)s::int[], %(held_s)s::float8[], %(held_s2)s::float8[])
