"""Give web servers the WSGI application of the finished service."""

import django.core.handlers.wsgi
import django.core.wsgi

application: django.core.handlers.wsgi.WSGIHandler = django.core.wsgi.get_wsgi_application()
