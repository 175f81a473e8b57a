"""Hold what a provider gave to what the model's author declared.

Used by execute for an answer and by poll for one that came later.
"""

import dataclasses
import json
from typing import Any

from heddle.core import artifact, faults, plan, settle
from heddle.ports import blobs, provider, store
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
        revived = _revived(outcome.output)
    except ValueError as error:
        message = f"the result has a key {artifact.MARK!r} that names no artifact: {error}"
        fault = faults.StepFault(fault=faults.Fault.BAD_OUTPUT, message=message[:2_000], where=claimed.name)
        return settle.Faulted(fault=fault, billed_nano_usd=outcome.cost_nano_usd, told=outcome.told)
    try:
        output = definition.encode_output(revived)
    except FaultRaised as error:
        return settle.Faulted(fault=error.fault, billed_nano_usd=outcome.cost_nano_usd, told=outcome.told)
    except Exception as error:  # noqa: BLE001 - the border to the author's types: what was paid for is not lost with them
        message = f"the declared output of {claimed.name} raised {type(error).__name__}: {error}"[:2_000]
        fault = faults.StepFault(fault=faults.Fault.BAD_OUTPUT, message=message, where=f"model {claimed.name}")
        return settle.Faulted(fault=fault, billed_nano_usd=outcome.cost_nano_usd, told=outcome.told)
    return settle.Completed(output=output, cost_nano_usd=outcome.cost_nano_usd, told=outcome.told)


async def kept(claimed: store.Claimed, outcome: settle.Outcome, artifacts: provider.ArtifactReader) -> settle.Outcome:
    """Hold a result to the model's declared output; one too large to be stored is kept as an artifact, which the fault
    names: it was paid for.
    """
    judged = checked(claimed, outcome)
    is_too_large = isinstance(judged, settle.Faulted) and judged.fault.fault is faults.Fault.TOO_LARGE
    if not (is_too_large and isinstance(judged, settle.Faulted) and isinstance(outcome, settle.Completed)):
        return judged
    content = json.dumps(plan.public(outcome.output), ensure_ascii=False, separators=(",", ":")).encode()
    try:
        reference = await artifacts.write(content, media_type="application/json")
    except (blobs.BlobRefused, OSError) as error:
        return _said(judged, f"{judged.fault.message}; it could not be kept as an artifact: {error}")
    return _said(judged, f"{judged.fault.message}; the whole result is kept as {reference.id}")


def _said(judged: settle.Faulted, message: str) -> settle.Faulted:
    return dataclasses.replace(judged, fault=dataclasses.replace(judged.fault, message=message))


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
