"""Hold the commands that a host project's manage.py offers; each points at the service's own."""
