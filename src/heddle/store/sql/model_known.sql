-- Purpose: tell whether a model has a route or options, and since when it is paused. Caller: operators' pause and resume.
-- Rows: reads route, model. Index: keys. Locks: none. Nothing matches: there is no model of this name.
select (select m.paused_at from heddle_model m where m.name = %(name)s) as paused_at
where exists (select 1 from heddle_route where model = %(name)s) or exists (select 1 from heddle_model where name = %(name)s)
