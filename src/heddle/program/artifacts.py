"""Give steps the bytes behind artifacts: read one, write one.

A step gets media by reference and asks here for the bytes. Where they are kept is installed once per process by whoever
starts it; whose they are travels with each call, so a step cannot name another tenant. What a step writes is noted and
reported with its output, so that it is recorded as the tenant's. Refused inside a workflow, whose function runs again
on every replay. Neighbours: ``trampoline`` before, the artifact storage behind.
"""

import asyncio
import collections.abc
import contextlib
import contextvars
import dataclasses
from typing import Protocol

from heddle.core import artifact, faults
from heddle.program import activation
from heddle.program.errors import ProgramError, WorkflowMisused

WRITTEN_MAX = 1_000


class ArtifactAccess(Protocol):
    """Keep and give whole artifacts to callers without a loop, safe from any thread.

    What is refused (too large, no such artifact, not the medium it claims) is raised as an ``errors.FaultRaised``, so
    that it fails the step with its class and is not tried again.
    """

    def read(self, *, tenant: str, reference: artifact.Artifact) -> bytes:
        """Read a whole artifact of the tenant."""
        ...

    def write(self, *, tenant: str, content: bytes, media_type: str | None) -> artifact.Artifact:
        """Store bytes for the tenant; the same bytes give the same reference."""
        ...


class ArtifactsUnavailable(ProgramError):
    """Say that there is no step running here, or that the process was given no artifact storage."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    tenant: str
    written: list[artifact.Artifact]


@dataclasses.dataclass(slots=True)
class _Installed:
    access: ArtifactAccess | None = None


_installed = _Installed()
_work: contextvars.ContextVar[_Work | None] = contextvars.ContextVar("heddle_artifact_work", default=None)


def install(access: ArtifactAccess | None) -> None:
    """Say where this process's steps find artifacts; a later call replaces it."""
    _installed.access = access


@contextlib.contextmanager
def working_for(tenant: str) -> collections.abc.Iterator[list[artifact.Artifact]]:
    """Let what runs inside read and write artifacts of one tenant; gives the list that fills with what is written."""
    work = _Work(tenant=tenant, written=[])
    token = _work.set(work)
    try:
        yield work.written
    finally:
        _work.reset(token)


def read_artifact(reference: artifact.Artifact) -> bytes:
    """Read the bytes of an artifact, in a step. Raises FaultRaised when the tenant has none of this hash."""
    access, work = _here("heddle.read_artifact")
    return access.read(tenant=work.tenant, reference=reference)


def write_artifact(content: bytes, media_type: str | None = None) -> artifact.Artifact:
    """Store bytes as an artifact, in a step, and give the reference to return. The same bytes give the same reference.

    ``media_type``: what the bytes are said to be, such as ``image/png``; checked against what they are. None: found
    out. Raises FaultRaised when they are empty, too large, or not what they are said to be.
    """
    access, work = _here("heddle.write_artifact")
    if len(work.written) >= WRITTEN_MAX:
        raise ArtifactsUnavailable(f"a step may write {WRITTEN_MAX} artifacts; this one wrote as many: split the step")
    reference = access.write(tenant=work.tenant, content=content, media_type=media_type)
    work.written.append(reference)
    return reference


async def aread_artifact(reference: artifact.Artifact) -> bytes:
    """Do what ``read_artifact`` does, in an async step, without holding its loop."""
    return await asyncio.to_thread(read_artifact, reference)


async def awrite_artifact(content: bytes, media_type: str | None = None) -> artifact.Artifact:
    """Do what ``write_artifact`` does, in an async step, without holding its loop."""
    return await asyncio.to_thread(write_artifact, content, media_type)


def _here(form: str) -> tuple[ArtifactAccess, _Work]:
    if activation.current() is not None:
        message = f"{form} reads or writes the outside, which a replay would do again: call it in a step"
        raise WorkflowMisused(faults.StepFault(fault=faults.Fault.WORKFLOW_MISUSE, message=message))
    work = _work.get()
    if work is None:
        raise ArtifactsUnavailable(
            f"{form} works in a running step only; in a test, use heddle.program.artifacts.working_for"
        )
    if _installed.access is None:
        raise ArtifactsUnavailable(
            f"{form} found no artifact storage in this process; heddle.program.artifacts.install sets it"
        )
    return _installed.access, work
