"""Hold what a provider gave to what the model's author declared.

Used by execute for an answer and by poll for one that came later.
"""

from typing import Any

from heddle.core import artifact, settle
from heddle.ports import store
from heddle.program import registry
from heddle.program.errors import FaultRaised, NotRegistered


def checked(claimed: store.Claimed, outcome: settle.Outcome) -> settle.Outcome:
    """Hold a result to the model's declared output."""
    if not isinstance(outcome, settle.Completed) or claimed.name is None:
        return outcome
    definition = model(claimed.name)
    if definition is None:
        return outcome
    try:
        output = definition.encode_output(_revived(outcome.output))
    except FaultRaised as error:
        return settle.Faulted(fault=error.fault, billed_nano_usd=outcome.cost_nano_usd, told=outcome.told)
    return settle.Completed(output=output, cost_nano_usd=outcome.cost_nano_usd, told=outcome.told)


def model(name: str) -> Any:
    """Give the declared model of a name, None when this process has no such declaration."""
    try:
        return registry.model(name)
    except NotRegistered:
        return None


def _revived(value: Any) -> Any:
    """Turn marked artifacts into values, so that encoding does not take the mark for a user's key."""
    if isinstance(value, dict):
        if artifact.is_artifact(value):
            return artifact.Artifact.from_json(value)
        return {key: _revived(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_revived(item) for item in value]
    return value
