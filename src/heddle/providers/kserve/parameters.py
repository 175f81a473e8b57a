"""Make the parameters of a request: the endpoint's own, and priority, time and sequence for Triton's schedulers.

Pure. What has no place in a parameter is refused by its input's name. Source: Triton extension_parameters.md,
extension_schedule_policy.md and extension_sequence.md. Before it: ``adapter`` with a request. After it: ``wire``.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import identity, run
from heddle.providers.kserve import tensors, terms

_SEQUENCE_ID_MAX: Final = 2**64
_SEQUENCE_TEXT_MAX: Final = 128
_MICRO: Final = 1_000_000


def of(
    read: terms.Terms, *, given: Mapping[str, identity.JsonValue], priority: run.Priority, timeout_s: float
) -> dict[str, identity.JsonValue]:
    """Give a request's parameters. timeout_s: what is left for the attempt. Raises TensorRefused."""
    made: dict[str, identity.JsonValue] = dict(read.parameters)
    if priority in read.priorities:
        made["priority"] = read.priorities[priority]
    if read.has_timeout:
        made["timeout"] = max(1, int(timeout_s * _MICRO))
    if read.sequence is not None:
        made["sequence_id"] = _sequence_id(read.sequence.id, given.get(read.sequence.id))
        made["sequence_start"] = _flag(read.sequence.start, given.get(read.sequence.start))
        made["sequence_end"] = _flag(read.sequence.end, given.get(read.sequence.end))
    return made


def names(read: terms.Terms) -> frozenset[str]:
    """Give the inputs that become parameters and no tensors."""
    if read.sequence is None:
        return frozenset()
    return frozenset({read.sequence.id, read.sequence.start, read.sequence.end})


def _sequence_id(name: str, value: identity.JsonValue) -> identity.JsonValue:
    is_number = type(value) is int and 0 < value < _SEQUENCE_ID_MAX
    if is_number or (isinstance(value, str) and 0 < len(value) <= _SEQUENCE_TEXT_MAX):
        return value
    raise tensors.TensorRefused(f"{name} is no sequence id: a number above 0 or a text of 1 to {_SEQUENCE_TEXT_MAX}")


def _flag(name: str, value: identity.JsonValue) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise tensors.TensorRefused(f"{name} is neither true nor false")
    return value
