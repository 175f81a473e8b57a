"""Give web servers the WSGI application of the finished service.

Importing this module is starting a web process: logs are configured, and Django's connections come from a pool that all
threads share. Before it: granian, or a WSGI server of the operator's. After it: the doors.
"""

import os
from typing import Any

import django.core.handlers.wsgi
import django.core.wsgi
from django import conf

from heddle.service import database_url, setup


def _application() -> django.core.handlers.wsgi.WSGIHandler:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", setup.DJANGO_SETTINGS)
    limits = setup.read_settings()
    setup.logs(limits)
    database: dict[str, Any] = conf.settings.DATABASES["default"]
    database["OPTIONS"] = database_url.pooled(database.get("OPTIONS", {}), limits=limits)
    return django.core.wsgi.get_wsgi_application()


application = _application()
