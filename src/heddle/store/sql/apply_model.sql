-- Purpose: upsert what a model's owner chose. Caller: store.apply. Rows: model. Locks: that row.
insert into heddle_model (name, unknown_policy, fallback_after_s, tokens, images, output_tokens, seconds, objective, deadline_s, quality)
values (%(name)s, %(policy)s, %(after)s, %(tokens)s::bigint, %(images)s::bigint, %(output_tokens)s::bigint, %(seconds)s::float8, %(objective)s,
  %(deadline_s)s::float8, %(quality)s::jsonb)
on conflict (name) do update set unknown_policy = excluded.unknown_policy, fallback_after_s = excluded.fallback_after_s,
  tokens = excluded.tokens, images = excluded.images, output_tokens = excluded.output_tokens, seconds = excluded.seconds,
  objective = excluded.objective, deadline_s = excluded.deadline_s, quality = excluded.quality
