-- Purpose: tell whether this database was ever migrated. Callers: PostgresStore.open, readiness. Rows: reads the catalogue. Locks: none.
select to_regclass('django_migrations') is not null as is_known
