"""The databases that tests get: migrated, their own, and gone afterwards."""

import psycopg

from tests import pg


def test_database_when_a_file_asks_for_one_then_it_is_migrated_and_django_points_at_it(database: pg.Database) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("select current_database(), (select count(*) from django_migrations)")
        name, migrations = cursor.fetchone()

    assert name == database.name
    assert migrations > 0


def test_database_when_its_block_ends_then_it_is_gone_with_its_connections(
    postgres_cluster: str, postgres_template: str
) -> None:
    with pg.database(cluster_dsn=postgres_cluster, template=postgres_template, label="Odd label!") as made:
        lingering = made.connect()
        shown = made.name

    with psycopg.connect(postgres_cluster) as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", [shown]).fetchone()
    lingering.close()

    assert shown.endswith("_odd_label_")
    assert found is None


def test_template_when_the_migrations_are_unchanged_then_it_is_made_once(
    postgres_cluster: str, postgres_template: str
) -> None:
    assert pg.make_template(postgres_cluster) == postgres_template
