-- Purpose: lock the routes of a model, so that of two canaries started at once the second sees the first. Caller: operators' canaries, first in
--   the transaction: a statement of its own, so that canary_route sees what the one before it left. Rows: locks route. Index: its key.
-- Locks: those routes by endpoint. Nothing matches: the model has no route.
select endpoint_id from heddle_route where model = %(model)s order by endpoint_id for no key update
