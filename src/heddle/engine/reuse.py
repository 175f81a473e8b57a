"""Let model calls take the results of equal ones: look for one that has ended, wait for one that is under way.

Only calls of models that declare ``Reuse`` come here, through a lane of their own, before any limit is asked: what is
found costs neither money nor a place. A result whose artifacts are gone is none: the call goes on in its place. The
first of its kind goes on to its model's lane. Before this in the walk: claim. After: settle, or claim again.
"""

import collections
import dataclasses
import uuid
from collections.abc import Iterable
from typing import Any

from heddle.core import artifact, faults, plan, settle
from heddle.core.policy import reuse as policy
from heddle.engine import execute, media, observe, results
from heddle.engine import parts as parts_module
from heddle.engine import settle as settle_stage
from heddle.ports import blobs, reusing, store
from heddle.program import definitions
from heddle.program.errors import FaultRaised
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics

WAITING_MAX = 10_000
"""Calls of which this worker remembers since when they wait; one forgotten looks more often again."""

LOOKS_MAX = 4
"""Results found one after the other, each without its artifacts, before a call fails for now."""
NOT_MOUNTED = "the artifact folder of this worker holds nothing: mount it, or set HEDDLE_ARTIFACT_DIR"
"""Said instead of taking a result for lost, which would be paid for again."""


class Reuser:
    """Look for the results of equal calls, for one worker."""

    def __init__(self, parts: parts_module.Parts, executor: execute.Executor) -> None:
        self._parts = parts
        self._executor = executor
        self._since_s: collections.OrderedDict[tuple[uuid.UUID, int], float] = collections.OrderedDict()

    async def act(self, claimed: store.Claimed) -> None:
        """Look for an equal call, to this step's settlement or to its place in its model's lane."""
        with observe.bound(claimed):
            try:
                look = self._look(claimed)
            except FaultRaised as error:
                self._executor.conclude(claimed, settle.Faulted(fault=error.fault))
                return
            try:
                found = await self._found(claimed, look)
            except (blobs.BlobRefused, OSError) as error:
                message = f"the result of an equal call could not be taken over: {error}"
                fault = faults.StepFault(
                    fault=faults.Fault.REJECTED_TRANSIENT, message=message, where=claimed.name or ""
                )
                self._executor.conclude(claimed, settle.Faulted(fault=fault))
                return
            if found is None:
                # The lease is gone: stopped with its run, or taken from us.
                self._parts.hold.drop((claimed.run_id, claimed.ordinal), claimed.fence)
                return
            match found.outcome:
                case "first":
                    self._since_s.pop((claimed.run_id, claimed.ordinal), None)
                    self._parts.hold.drop((claimed.run_id, claimed.ordinal), claimed.fence)
                    self._parts.wake(readied=1)
                case "under_way":
                    self._wait(claimed, found)
                case "found":
                    self._since_s.pop((claimed.run_id, claimed.ordinal), None)
                    self._executor.conclude(claimed, results.checked(claimed, settle.Completed(output=found.output)))
                case _:
                    raise AssertionError(f"a look for an equal call ended as {found.outcome!r}")

    async def _found(self, claimed: store.Claimed, look: reusing.Look) -> reusing.Found | None:
        """Look until what is found can be taken. Raises BlobRefused, OSError when it is there and cannot be read."""
        for _ in range(LOOKS_MAX):
            answers = await self._parts.store.reuse(looks=[look])
            if not answers:
                return None
            found = answers[0]
            try:
                if found.outcome == "found":
                    await self._own_media(claimed, found)
            except blobs.BlobMissing as error:
                if await self._parts.blobs.is_empty():
                    raise blobs.BlobUnread(NOT_MOUNTED) from error
                recorder.count(metrics.REUSE_LOOKS, outcome="lost")
                look = dataclasses.replace(look, lost=(found.run_id, found.ordinal))
                continue
            recorder.count(metrics.REUSE_LOOKS, outcome=found.outcome)
            return found
        # Each was another call's, made and lost meanwhile: somebody removes files as fast as they are made.
        raise blobs.BlobUnread(f"the artifacts of {LOOKS_MAX} results were gone")

    def _look(self, claimed: store.Claimed) -> reusing.Look:
        """Give what is looked for. Raises FaultRaised when the arguments do not fit."""
        assert claimed.name is not None, "a model call has a name"
        options = plan.CallOptions.from_json(claimed.options).reuse or policy.Reuse()
        arguments = execute.fitted(claimed)
        key = policy.key(options, model=claimed.name, arguments=arguments)
        lease = store.LeaseRef(run_id=claimed.run_id, ordinal=claimed.ordinal, fence=claimed.fence)
        version = claimed.version or definitions.UNVERSIONED
        return reusing.Look(
            lease=lease, tenant_id=claimed.tenant_id, model=claimed.name, version=version, key=key, options=options
        )

    def _wait(self, claimed: store.Claimed, found: reusing.Found) -> None:
        key, now_s = (claimed.run_id, claimed.ordinal), self._parts.clock.monotonic_s()
        since_s = self._since_s.setdefault(key, now_s)
        while len(self._since_s) > WAITING_MAX:
            self._since_s.popitem(last=False)
        delay_s = policy.wait_s(waited_s=now_s - since_s, rng=self._parts.clock.rng)
        note = f"waits for an equal one, call {found.ordinal} of run {found.run_id}"
        parked = settle_stage.parked(claimed, delay_s=delay_s)
        self._parts.settling.put(dataclasses.replace(parked, is_local=True, note=note))

    async def _own_media(self, claimed: store.Claimed, found: reusing.Found) -> None:
        """Make sure that a tenant has the artifacts in a result. Raises BlobMissing, BlobRefused, OSError."""
        try:
            references = _media_of(found.output)
        except ValueError:
            return  # a mark that names no artifact: the result is judged after this, and the fault says so
        if found.tenant_id != claimed.tenant_id:
            await self._copy_media(claimed, found.tenant_id, references)
            return
        tenant = await self._parts.tenant_name(claimed.tenant_id) if references else ""
        for reference in references:
            await self._parts.blobs.stat(tenant=tenant, sha256=reference.sha256)

    async def _copy_media(
        self, claimed: store.Claimed, tenant_id: int, references: Iterable[artifact.Artifact]
    ) -> None:
        """Give a tenant its own copy of the artifacts in another's result."""
        theirs = media.TenantArtifacts(
            self._parts, tenant_id=tenant_id, tenant=await self._parts.tenant_name(tenant_id)
        )
        ours = media.TenantArtifacts(
            self._parts, tenant_id=claimed.tenant_id, tenant=await self._parts.tenant_name(claimed.tenant_id)
        )
        for reference in references:
            await ours.write(await theirs.read(reference), media_type=reference.media_type)


def _media_of(output: Any) -> list[artifact.Artifact]:
    return list({reference.sha256: reference for reference in plan.artifacts(output)}.values())
