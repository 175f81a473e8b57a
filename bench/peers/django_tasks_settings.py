"""Django's settings for django-tasks: one database, no web."""

from bench.peers import setting

_URL = setting.read().postgres_url
SECRET_KEY = "only for a measurement on the loopback interface"
USE_TZ = True
INSTALLED_APPS = ["django_tasks", "django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []}}


def _database(url: str) -> dict[str, object]:
    from psycopg import conninfo

    parts = conninfo.conninfo_to_dict(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts["dbname"],
        "USER": parts["user"],
        "PASSWORD": parts.get("password", ""),
        "HOST": parts["host"],
        "PORT": parts["port"],
        "CONN_MAX_AGE": None,
    }


DATABASES = {"default": _database(_URL)}
