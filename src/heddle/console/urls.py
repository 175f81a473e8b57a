"""Lay out the console's paths.

A host project includes this module: ``path("console/", include("heddle.console.urls"))``.
"""

from django.urls import path

from heddle.console import assets, views

app_name = "heddle-console"

urlpatterns = [
    path("", views.runs, name="runs"),
    path("runs/<str:run_id>", views.one_run, name="run"),
    path("runs/<str:run_id>/<str:action>", views.steer, name="steer"),
    path("models", views.models, name="models"),
    path("unknown", views.unknown, name="unknown"),
    path("money", views.money, name="money"),
    path("artifacts/<str:artifact_id>", views.artifact, name="artifact"),
    path("login", views.login, name="login"),
    path("logout", views.logout, name="logout"),
    path("static/<str:name>", assets.serve, name="static"),
]
