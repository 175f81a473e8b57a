-- Purpose: tell what this worker's calls came to since it last told, by endpoint and model. Caller: engine.load, once a second and only when
--   there is something. Rows: inserts score_delta. Locks: none that exist. Cards come as texts of arrays: ragged arrays cannot be unnested.
insert into heddle_score_delta (endpoint_id, model, counts, latency, queue)
select w.endpoint_id, w.model, w.counts::float8[], w.latency::float8[], w.queue::float8[]
from unnest(%(endpoints)s::int[], %(models)s::text[], %(counts)s::text[], %(latencies)s::text[], %(queues)s::text[])
  as w (endpoint_id, model, counts, latency, queue)
