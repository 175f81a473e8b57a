"""Hold what a provider gave to the quality gates of its model, once its media are stored.

Measuring decodes untrusted bytes, so it runs in the compute pool under a cap on memory, time and pixels, never in the
loop; the law is ``core.policy.quality``. A result that fails was paid for: its fault carries the bill. What could not
be measured for want of a place or of time passes, counted: a gate must not lose what was paid for. Neighbours: execute
and poll before, settle after.
"""

import contextlib
import json
import pickle

from heddle.core import artifact, faults, identity, settle
from heddle.core.policy import quality
from heddle.engine import parts as parts_module
from heddle.ports import compute as compute_port
from heddle.ports import provider as provider_port
from heddle.ports import store
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

FUNCTION = "heddle.compute.media:measure"
MEDIA_MAX = 64
"""Most media of one result that are measured; a result of more is judged by the first."""
TIMEOUT_S = 30.0
MEMORY_BYTES = 1024**3


async def judged(
    parts: parts_module.Parts,
    claimed: store.Claimed,
    endpoint: parts_module.Endpoint,
    request: provider_port.ProviderRequest,
    outcome: settle.Outcome,
) -> settle.Outcome:
    """Give the outcome, or the fault of a result that fails its model's gates."""
    gates = endpoint.row.gates.get(claimed.name or "")
    if gates is None or not isinstance(outcome, settle.Completed):
        return outcome
    try:
        media = found(outcome.output)
        originals = [] if gates.original is None else found(request.input.get(gates.original))
        measured = await _measured(parts, claimed, endpoint, [*media, *originals])
    except Exception as error:  # noqa: BLE001 - the border to the pool: a gate must not lose what was paid for
        _tell_unmeasured(endpoint, f"{type(error).__name__}: {error}"[:2_000])
        return outcome
    if measured is None:
        return outcome
    problem = quality.refusal(gates, measured[: len(media)], measured[len(media) :])
    if problem is None:
        return outcome
    recorder.count(metrics.RESULTS_REFUSED, endpoint=endpoint.row.name)
    recorder.event(events.RESULT_REFUSED, endpoint=endpoint.row.name, reason=problem)
    fault = faults.StepFault(
        fault=faults.Fault.BAD_OUTPUT,
        code=faults.QUALITY,
        message=f"the result of {endpoint.row.name} was refused by the gates of {claimed.name}: {problem}",
        where=f"endpoint {endpoint.row.name}",
    )
    return settle.Faulted(fault=fault, billed_nano_usd=outcome.cost_nano_usd, told=outcome.told)


def found(value: identity.JsonValue) -> list[artifact.Artifact]:
    """List the artifacts in a stored value, in order, at most MEDIA_MAX; a mark that names none is passed over."""
    media: list[artifact.Artifact] = []
    left: list[identity.JsonValue] = [value]
    while left and len(media) < MEDIA_MAX:
        each = left.pop()
        if isinstance(each, dict):
            if artifact.is_artifact(each):
                with contextlib.suppress(ValueError):
                    media.append(artifact.Artifact.from_json(each))
            else:
                left.extend(reversed(list(each.values())))
        elif isinstance(each, list):
            left.extend(reversed(each))
    return media


async def _measured(
    parts: parts_module.Parts,
    claimed: store.Claimed,
    endpoint: parts_module.Endpoint,
    media: list[artifact.Artifact],
) -> list[quality.Measured] | None:
    """Measure media in the compute pool; None when that was not possible, which is told and counted."""
    if not media:
        return []
    tenant = await parts.tenant_name(claimed.tenant_id)
    arguments = {
        "tenant": tenant,
        "media_json": json.dumps([each.as_json() for each in media]),
        "pixels_max": parts.settings.artifact_pixels_max,
    }
    call = compute_port.ComputeCall(
        function=FUNCTION,
        arguments=pickle.dumps(arguments),
        timeout_s=TIMEOUT_S,
        memory_bytes=MEMORY_BYTES,
        label=f"gates {claimed.run_id}/{claimed.ordinal}",
    )
    try:
        outcome = await parts.compute.run(call)
    except compute_port.ComputeUnavailable as error:
        _tell_unmeasured(endpoint, str(error))
        return None
    match outcome:
        case compute_port.ComputeDone():
            told = json.loads(pickle.loads(outcome.value))  # noqa: S301 - made by our own child process
            return [quality.Measured(**each) for each in told]
        case compute_port.ComputeCrashed():
            # Bytes that take their reader down are no medium anybody can use.
            crashed = quality.Measured(media_type=media[0].media_type, problem="its reader crashed on it")
            return [crashed for _ in media]
        case compute_port.ComputeRaised():
            _tell_unmeasured(endpoint, f"{outcome.error_type}: {outcome.message}")
        case compute_port.ComputeTimedOut():
            _tell_unmeasured(endpoint, f"measuring did not end within {TIMEOUT_S:g} s")
        case compute_port.ComputeTooLarge():
            _tell_unmeasured(endpoint, f"the {outcome.what} passes {outcome.limit_bytes} bytes")
    return None


def _tell_unmeasured(endpoint: parts_module.Endpoint, reason: str) -> None:
    recorder.count(metrics.RESULTS_UNMEASURED, endpoint=endpoint.row.name)
    recorder.event(events.RESULT_UNMEASURED, endpoint=endpoint.row.name, reason=reason)
