"""Fit arguments and inputs to what a function, model or workflow takes.

Binding speaks Python's words (TypeError at the author's line), inputs are refused field by field for the doors.
Neighbours: definitions use this for every call; ``signatures`` fills ``Parameters`` once.
"""

import collections.abc
import dataclasses

from heddle.core import faults, identity, plan
from heddle.core.policy import retry as retry_policy
from heddle.core.policy import reuse as reuse_policy
from heddle.core.policy import told as told_policy
from heddle.program import encoding, types
from heddle.program.errors import InputRefused

UNITS_MAX = told_policy.UNITS_MAX
"""The most tokens or images one call may be expected to use."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Hold the parameters of a function: names in order, which must be given, and a codec for each."""

    names: tuple[str, ...]
    positional: tuple[str, ...]
    required: frozenset[str]
    codecs: dict[str, types.Codec]

    def bind(
        self, name: str, arguments: tuple[object, ...], keywords: dict[str, object]
    ) -> collections.abc.Mapping[str, object]:
        """Give each argument its parameter's name, as Python would. Raises TypeError in Python's words."""
        if len(arguments) > len(self.positional):
            raise TypeError(f"{name}() takes {len(self.positional)} positional arguments, {len(arguments)} were given")
        if arguments:
            named = dict(zip(self.positional, arguments, strict=False))
            twice = named.keys() & keywords.keys()
            if twice:
                raise TypeError(f"{name}() got several values for {', '.join(sorted(twice))}")
            keywords = {**named, **keywords}
        if not self.required <= keywords.keys():
            missing = [parameter for parameter in self.names if parameter in self.required - keywords.keys()]
            raise TypeError(f"{name}() lacks {', '.join(missing)}")
        if not keywords.keys() <= self.codecs.keys():
            unknown = sorted(keywords.keys() - self.codecs.keys())
            raise TypeError(f"{name}() has no parameter {', '.join(unknown)}; it has {', '.join(self.names) or 'none'}")
        return keywords


def changed_options(
    base: plan.CallOptions,
    *,
    timeout_s: float | None,
    retries: retry_policy.RetryOptions | None,
    detach: bool,
    memory_bytes: int | None = None,
    tokens: int | None = None,
    images: int | None = None,
    reuse: reuse_policy.Reuse | None = None,
) -> plan.CallOptions:
    """Give options with what is not None changed. Raises ValueError out of range."""
    if timeout_s is not None and not 0.1 <= timeout_s <= 86_400:
        raise ValueError(f"timeout_s is 0.1 to 86,400 seconds, not {timeout_s!r}")
    if memory_bytes is not None and memory_bytes < 1 << 20:
        raise ValueError(f"memory_bytes is at least 1,048,576 (1 MiB), not {memory_bytes!r}")
    for name, units in (("tokens", tokens), ("images", images)):
        if units is not None and (type(units) is not int or not 1 <= units <= UNITS_MAX):
            raise ValueError(f"{name} is 1 to {UNITS_MAX:,}, not {units!r}")
    return plan.CallOptions(
        timeout_s=base.timeout_s if timeout_s is None else timeout_s,
        retry=base.retry if retries is None else retries,
        detach=base.detach or detach,
        memory_bytes=base.memory_bytes if memory_bytes is None else memory_bytes,
        tokens=base.tokens if tokens is None else tokens,
        images=base.images if images is None else images,
        reuse=base.reuse if reuse is None else reuse,
    )


def stored(
    what: str, fields: collections.abc.Mapping[str, object], *, bytes_max: int = encoding.INLINE_BYTES_MAX
) -> dict[str, identity.JsonValue]:
    """Write the fields of an input. Raises InputRefused naming each that cannot be stored or is over ``bytes_max``."""
    encoded: dict[str, identity.JsonValue] = {}
    problems: list[tuple[str, str]] = []
    for name, value in fields.items():
        try:
            encoded[plan.escape(name)] = encoding.encode(value, path=name, depth=1)
        except identity.NotJson as error:
            problems.append((name, str(error)))
            continue
        too_large = encoding.oversize(encoded[plan.escape(name)], place=name, bytes_max=bytes_max)
        if too_large is not None:
            problems.append((name, too_large))
    if problems:
        raise InputRefused(what, problems)
    return encoded


def bad_arguments(where: str, problems: list[str]) -> faults.StepFault:
    """Make the fault of resolved arguments that do not fit, naming at most eight."""
    return faults.StepFault(
        fault=faults.Fault.REJECTED_PERMANENT,
        message="the arguments do not fit: " + "; ".join(problems[:8]),
        where=where,
    )


def listed(names: collections.abc.Iterable[str]) -> str:
    """Write names in order, or that there are none."""
    return ", ".join(sorted(names)) or "none"
