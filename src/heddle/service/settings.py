"""Configure Django for the finished service; every choice comes from `heddle.config.settings`.

Used by `heddle web`, `heddle worker` and the other commands, which name it in DJANGO_SETTINGS_MODULE. A team with a
Django project of its own uses its own settings instead. DEBUG is off in every environment, since its error pages show
settings and its query log grows without bound; development differs in `HEDDLE_ENVIRONMENT` alone.
"""

import os
import pathlib
import urllib.parse
from typing import Any

from heddle.config import settings as house_settings
from heddle.service import database_url, secret

_settings = house_settings.load(environ=os.environ)
_state_dir = pathlib.Path(_settings.state_dir).resolve()
_public = urllib.parse.urlsplit(_settings.public_url)

DEBUG = False
SECRET_KEY = _settings.secret_key or secret.secret_key(state_dir=_state_dir)
HEDDLE: dict[str, Any] = {"secret_key": SECRET_KEY}
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
if _settings.web_host not in ("0.0.0.0", "::", *ALLOWED_HOSTS):
    ALLOWED_HOSTS.append(_settings.web_host)
if _public.hostname:
    ALLOWED_HOSTS.append(_public.hostname)
ROOT_URLCONF = "heddle.service.urls"
WSGI_APPLICATION = "heddle.service.wsgi.application"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "heddle",
]
MIDDLEWARE = [
    "heddle.api.middleware.Door",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
APPEND_SLASH = False

DATABASES = {
    "default": {
        **database_url.parse(_settings.database_url or "postgresql://127.0.0.1/heddle"),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
    }
}
if _settings.database_prepare == "off":
    DATABASES["default"]["OPTIONS"]["prepare_threshold"] = None
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Sessions are signed cookies: showing a page needs no table, and a restarted database logs nobody out.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "heddle_session"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_NAME = "heddle_csrf"
CSRF_COOKIE_SAMESITE = "Lax"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
if _public.scheme == "https":
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    CSRF_TRUSTED_ORIGINS = [f"https://{_public.netloc}"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# The doors read bodies themselves, under their own caps; this one bounds the console's forms and the admin's.
DATA_UPLOAD_MAX_MEMORY_SIZE = _settings.request_bytes_max
STATIC_URL = "/static/"

USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
# telemetry.logs configures logging for the whole process before Django is loaded.
LOGGING_CONFIG = None
