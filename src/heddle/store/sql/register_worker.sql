-- Purpose: make a worker row. Caller: engine.worker at start and after it was declared dead. Rows: inserts worker. Locks: none that exist.
insert into heddle_worker (name, detail) values (%(name)s, %(detail)s) returning id
