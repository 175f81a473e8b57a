"""Give the public names of Heddle, each loaded when it is first asked for.

Importing ``heddle`` costs nothing and needs no settings: no Django, no driver, no HTTP library comes with it. Nothing
inside of the package imports this module. What the names are is declared for type checkers in ``__init__.pyi``, which
the tests hold equal to the table below.
"""

import importlib

_PLACES = {
    "workflow": "heddle.program.declare",
    "step": "heddle.program.declare",
    "model": "heddle.program.declare",
    "Call": "heddle.program.call",
    "Artifact": "heddle.program.types",
    "Retry": "heddle.core.policy.retry:RetryOptions",
    "Reuse": "heddle.core.policy.reuse",
    "all_of": "heddle.program.forms",
    "first_of": "heddle.program.forms",
    "First": "heddle.program.forms",
    "map": "heddle.program.forms",
    "continue_as_new": "heddle.program.continuing",
    "sleep": "heddle.program.forms",
    "signal": "heddle.program.forms",
    "now": "heddle.program.forms",
    "random": "heddle.program.forms",
    "patched": "heddle.program.forms",
    "schedule": "heddle.program.schedules",
    "read_artifact": "heddle.program.artifacts",
    "write_artifact": "heddle.program.artifacts",
    "aread_artifact": "heddle.program.artifacts",
    "awrite_artifact": "heddle.program.artifacts",
    "StepFailed": "heddle.program.errors",
    "RunStopping": "heddle.program.errors",
    "CallNotAwaited": "heddle.program.errors",
    "InputRefused": "heddle.program.errors",
    "OutsideWorkflow": "heddle.program.errors",
    "RegistrationRefused": "heddle.program.errors",
    "WorkflowMisused": "heddle.program.errors",
    "WorkflowWarning": "heddle.program.errors",
    "Heddle": "heddle.client",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"heddle has no name {name!r}; its public names are {', '.join(__all__)}")
    module, _, attribute = place.partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
