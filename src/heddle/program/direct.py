"""Start a model or a step by itself: a run that is one call and has no function.

The doors know such a run as ``model:NAME`` or ``step:NAME``. It is planned when it is admitted: its one call stands in
line at once, and nothing is activated. Neighbours: ``client.admission`` before, the store's ``submit`` after.
"""

import collections.abc
import dataclasses
from typing import Any

from heddle.core import identity, plan, step
from heddle.program import encoding, registry
from heddle.program.definitions import ModelDefinition, StepDefinition
from heddle.program.errors import NotRegistered

KINDS = (step.StepKind.MODEL, step.StepKind.STEP)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DirectCall:
    """Offer one model or step to the doors, as they know workflows."""

    kind: step.StepKind
    definition: ModelDefinition | StepDefinition
    bytes_max: int = encoding.INLINE_BYTES_MAX

    @property
    def name(self) -> str:
        """Give the name that stands in the place of a workflow's."""
        return f"{self.kind.value}:{self.definition.name}"

    @property
    def version(self) -> int:
        """Give the version of the definition."""
        return self.definition.version

    def validate_input(self, raw: dict[str, Any]) -> dict[str, identity.JsonValue]:
        """Turn an input from a door into the stored form. Raises InputRefused naming each field."""
        if isinstance(self.definition, StepDefinition):
            return self.definition.validate_input(raw)
        return self.definition.validate_input(raw, bytes_max=self.bytes_max)

    def planned(self, encoded: dict[str, identity.JsonValue]) -> plan.PlannedCall:
        """Plan the call that the run is."""
        return plan.PlannedCall(
            ordinal=1,
            kind=self.kind,
            name=self.definition.name,
            version=self.definition.version,
            digest=identity.digest(kind=self.kind, name=self.definition.name, arguments=encoded),
            arguments=encoded,
            parents=(),
            options=self.definition.call_options,
        )


def find(
    name: str,
    *,
    is_routed: collections.abc.Callable[[str], bool],
    bytes_max: int = encoding.INLINE_BYTES_MAX,
) -> DirectCall | None:
    """Give the call that a name of the form ``model:NAME`` or ``step:NAME`` stands for, None for any other form.

    is_routed: tells whether the deployment has a route for a model; one that no code declares takes and gives any JSON.
    bytes_max: the largest value of a model's input that is kept inline. Raises NotRegistered.
    """
    kind, separator, called = name.partition(":")
    if not separator or kind not in KINDS:
        return None
    if kind == step.StepKind.STEP:
        return DirectCall(kind=step.StepKind.STEP, definition=registry.step(called))
    try:
        return DirectCall(kind=step.StepKind.MODEL, definition=registry.model(called), bytes_max=bytes_max)
    except NotRegistered:
        if not is_routed(called):
            raise
        undeclared = ModelDefinition(
            name=called,
            input=None,
            output=None,
            input_codec=None,
            output_codec=None,
            fields=None,
            required=frozenset(),
            call_options=plan.CallOptions(),
        )
        return DirectCall(kind=step.StepKind.MODEL, definition=undeclared, bytes_max=bytes_max)
