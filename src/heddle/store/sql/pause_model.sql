-- Purpose: pause or resume a model. Caller: operators' pause and resume, after model_known: a statement of its own, since a row that this one
--   writes cannot be read in it as it was. Rows: upserts model (a model that is only routed has no row yet). Index: its key. Locks: that row.
insert into heddle_model as m (name, paused_at) values (%(name)s, case when %(is_paused)s then clock_timestamp() end)
on conflict (name) do update set paused_at = case when %(is_paused)s then coalesce(m.paused_at, excluded.paused_at) end
returning %(before)s::timestamptz as before, m.paused_at as after
