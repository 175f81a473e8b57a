"""Lay out the paths of the console's tests as the service does."""

from django.urls import include, path

urlpatterns = [path("", include("heddle.api.urls")), path("console/", include("heddle.console.urls"))]
