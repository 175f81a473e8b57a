-- Purpose: list the migrations of ours that this database has. Callers: PostgresStore.open, readiness. Rows: reads Django's table. Locks: none.
select name from django_migrations where app = 'heddle' order by name limit 10000
