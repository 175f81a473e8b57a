"""Show Heddle's tables to the ORM and the admin, for reading only: the statements of ``store/sql`` own them.

Steps and attempts are shown through views with one text id, because Django's admin refuses composite keys. Writing
through these models is refused; the client and the doors are the way in.
"""

from typing import Any, ClassVar, NoReturn

from django.db import models


class ReadOnlyError(TypeError):
    """Say that these rows are written by Heddle's own statements only."""


class _ReadOnly(models.Model):
    """Refuse to write."""

    class Meta:
        """Leave the table to our own statements."""

        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse. Raises ReadOnlyError."""
        raise ReadOnlyError(f"{type(self).__name__} is for reading; use heddle.Heddle or the HTTP API")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse. Raises ReadOnlyError."""
        raise ReadOnlyError(f"{type(self).__name__} is for reading; use heddle.Heddle or the HTTP API")


class Tenant(_ReadOnly):
    """Show who work belongs to."""

    name = models.TextField(unique=True)
    weight = models.IntegerField()
    created_at = models.DateTimeField()

    class Meta:
        """Leave the table to our own statements."""

        managed = False
        db_table = "heddle_tenant"

    def __str__(self) -> str:
        return self.name


class Run(_ReadOnly):
    """Show one execution of a workflow."""

    id = models.UUIDField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False)
    workflow = models.TextField()
    version = models.IntegerField()
    priority = models.TextField()
    state = models.TextField()
    error = models.JSONField(null=True)
    labels = models.JSONField()
    cost_nano_usd = models.BigIntegerField()
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        """Leave the table to our own statements."""

        managed = False
        db_table = "heddle_run"
        ordering: ClassVar[list[str]] = ["-id"]

    def __str__(self) -> str:
        return f"{self.workflow} {self.id}"


class Step(_ReadOnly):
    """Show one call of a run; its id is run id and ordinal."""

    id = models.TextField(primary_key=True)
    run_id = models.UUIDField()
    ordinal = models.IntegerField()
    kind = models.TextField()
    name = models.TextField()
    state = models.TextField()
    note = models.TextField()
    attempts = models.IntegerField()
    cost_nano_usd = models.BigIntegerField()
    fault = models.JSONField(null=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        """Leave the table to our own statements."""

        managed = False
        db_table = "heddle_step_view"
        ordering: ClassVar[list[str]] = ["-run_id", "ordinal"]

    def __str__(self) -> str:
        return f"{self.name} {self.id}"


class Attempt(_ReadOnly):
    """Show one try of a step at one endpoint; its id is run id, ordinal and number."""

    id = models.TextField(primary_key=True)
    run_id = models.UUIDField()
    ordinal = models.IntegerField()
    number = models.IntegerField()
    endpoint_id = models.IntegerField(null=True)
    state = models.TextField()
    handle = models.TextField(null=True)
    fault = models.JSONField(null=True)
    cost_nano_usd = models.BigIntegerField(null=True)
    started_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        """Leave the table to our own statements."""

        managed = False
        db_table = "heddle_attempt_view"
        ordering: ClassVar[list[str]] = ["-run_id", "ordinal", "number"]

    def __str__(self) -> str:
        return f"attempt {self.id}"
