"""Show tenants, runs, steps and attempts in Django's admin, for reading only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from heddle import models


class _ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django's class takes no argument at run time
    """Show rows; offer no way to change them."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False


@admin.register(models.Tenant)
class TenantAdmin(_ReadOnlyAdmin):
    """Show tenants."""

    list_display = ("name", "weight", "created_at")


@admin.register(models.Run)
class RunAdmin(_ReadOnlyAdmin):
    """Show runs, newest first."""

    list_display = ("id", "workflow", "state", "tenant", "created_at", "finished_at", "cost_nano_usd")
    list_filter = ("state", "workflow")
    list_select_related = ("tenant",)


@admin.register(models.Step)
class StepAdmin(_ReadOnlyAdmin):
    """Show steps."""

    list_display = ("id", "kind", "name", "state", "attempts", "cost_nano_usd")
    list_filter = ("state", "kind")


@admin.register(models.Attempt)
class AttemptAdmin(_ReadOnlyAdmin):
    """Show attempts."""

    list_display = ("id", "state", "handle", "cost_nano_usd", "started_at", "finished_at")
    list_filter = ("state",)
