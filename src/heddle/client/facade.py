"""Offer the facade: one object through which every door submits, shows, waits for and steers runs.

``Heddle`` joins the parts: admission's law, the store's doors, the artifact storage, the keys. It keeps no state of its
own but a few seconds of known keys, takes frozen records and gives frozen records. The wiring makes it, once per
process; it may be used from any thread.
"""

import datetime
import decimal
import random
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from heddle.client import (
    admission,
    backpressure,
    calls,
    history,
    keys,
    needs,
    outcomes,
    pages,
    readiness,
    schedules,
    submitted,
    tokens,
    values,
)
from heddle.client.admission import InvalidInput, RunRequest
from heddle.client.values import Problem
from heddle.config import settings
from heddle.core import artifact, identity, run
from heddle.ports import doors, provider, records

WAIT_FIRST_S = 0.02
WAIT_LONGEST_S = 0.5
SIGNAL_CHARACTERS_MAX = 100


class Heddle(history.History, schedules.Schedules, calls.Calling):
    """Reach the house. Every method names a tenant and sees nothing of another's.

    Raises of every call: the exceptions of ``ports.doors`` and ``InvalidInput``. What the database raises when it is
    away passes through.
    """

    def __init__(
        self,
        *,
        doors: doors.Doors,
        media: needs.Media,
        programs: needs.Programs,
        limits: settings.Settings,
        verify_callback: needs.CallbackVerifier,
        checks: Mapping[str, Callable[[], str | None]],
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        monotonic_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
        quotes: needs.Quotes = lambda _workflow: None,
    ) -> None:
        self.limits = limits
        self.quote = quotes
        self.backpressure = backpressure.Backpressure(
            doors, limits=limits, monotonic_s=monotonic_s, rng=rng or random.SystemRandom()
        )
        self.keyring = keys.Keyring(doors, monotonic_s=monotonic_s, now=now)
        self._doors = doors
        self._media = media
        self._programs = programs
        self._verify_callback = verify_callback
        self._checks = dict(checks)
        self._now = now
        self._monotonic_s = monotonic_s
        self._pause = pause

    def submit(
        self,
        workflow: str | needs.Named,
        input: Mapping[str, Any],  # noqa: A002 - the word of the contract
        *,
        tenant: str | records.Tenant = "default",
        priority: str = run.Priority.STANDARD.value,
        deadline_s: float | None = None,
        start_at: datetime.datetime | None = None,
        labels: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        max_cost_usd: str | int | decimal.Decimal | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> submitted.Submitted:
        """Start a run; inside the host's ``transaction.atomic()`` it joins the transaction.

        ``model:NAME`` and ``step:NAME`` start one call by itself. A second call with the same ``idempotency_key`` and
        request gives the same run with ``is_replay``. Raises InvalidInput naming every bad field, IdempotencyConflict,
        IdempotencyBusy.
        """
        request = RunRequest(
            workflow=workflow if isinstance(workflow, str) else workflow.name,
            version=None if isinstance(workflow, str) else workflow.version,
            input=input,
            priority=priority,
            deadline_s=deadline_s,
            start_at=start_at,
            labels=labels or {},
            webhook_url=webhook_url,
            max_cost_usd=max_cost_usd,
            idempotency_key=idempotency_key,
            traceparent=traceparent,
        )
        return self.submit_request(request, tenant=tenant)

    def submit_request(
        self,
        request: RunRequest,
        *,
        tenant: str | records.Tenant = "default",
        answer: Callable[[records.RunView], records.StoredAnswer] | None = None,
    ) -> submitted.Submitted:
        """Start the run that a record asks for; see ``submit``. ``answer`` writes the answer kept with its key."""
        owner = self.tenant(tenant)
        try:
            new = submitted.with_answer(self._admit(request, owner), answer)
            shown = submitted.show(new, self._replay_of_refused(new) or self._doors.submit(new))
        except outcomes.REFUSALS as error:
            outcomes.count(error)
            raise
        outcomes.count(shown)
        return shown

    def submit_many(
        self, requests: Sequence[RunRequest], *, tenant: str | records.Tenant = "default"
    ) -> list[submitted.Submitted | Exception]:
        """Start up to ``batch_items_max`` runs in one transaction; one outcome per request, in order.

        A request that is refused is an exception in its place and does not hold up the others. Raises InvalidInput when
        there are too many.
        """
        if len(requests) > self.limits.batch_items_max:
            message = f"has {len(requests)} items; at most {self.limits.batch_items_max} are taken at once"
            raise InvalidInput([Problem(field="items", message=message)])
        owner = self.tenant(tenant)
        answers: list[submitted.Submitted | Exception | None] = [None] * len(requests)
        admitted: list[tuple[int, records.NewRun]] = []
        for index, request in enumerate(requests):
            try:
                new = self._admit(request, owner)
                replay = self._replay_of_refused(new, before=len(admitted))
            except outcomes.REFUSALS as error:
                answers[index] = error
                continue
            if replay is None:
                admitted.append((index, new))
            else:
                answers[index] = submitted.show(new, replay)
        written = self._doors.submit_many([new for _, new in admitted]) if admitted else []
        for (index, new), answer in zip(admitted, written, strict=True):
            answers[index] = answer if isinstance(answer, Exception) else submitted.show(new, answer)
        return outcomes.counted(answers)

    def store_answer(self, *, tenant: records.Tenant, key: str, answer: records.StoredAnswer) -> None:
        """Keep what a replay of this key is answered. A later call replaces it."""
        self._doors.store_answer(tenant=tenant, operation="runs.create", key=key, answer=answer)

    def get(self, run_id: uuid.UUID | str, *, tenant: str | records.Tenant = "default") -> records.RunView:
        """Show one run. Raises RunMissing, also for what is no id at all."""
        return self._doors.run(tenant=self.tenant(tenant), run_id=history.run_uuid(run_id))

    def runs(
        self, where: records.RunFilter | None = None, *, tenant: str | records.Tenant = "default"
    ) -> list[records.RunView]:
        """Show runs, newest first, without input and output; at most ``page_max``."""
        where = where or records.RunFilter()
        pages.check_limit(where.limit, page_max=self.limits.page_max)
        return self._doors.runs(tenant=self.tenant(tenant), where=where)

    def wait(
        self,
        run_id: uuid.UUID | str,
        *,
        timeout_s: float,
        tenant: str | records.Tenant = "default",
        pause: Callable[[float], None] | None = None,
    ) -> records.RunView:
        """Show a run once it is over, or as it is after ``timeout_s`` (0 to ``wait_max_s``).

        A run that went on as a new one is waited for to the last of its chain, which is then shown. ``pause`` makes
        the waits in between.
        """
        owner = self.tenant(tenant)
        pause = pause or self._pause
        until_s = self._monotonic_s() + max(0.0, min(timeout_s, self.limits.wait_max_s))
        delay_s, target = WAIT_FIRST_S, history.run_uuid(run_id)
        while True:
            view = self._doors.run(tenant=owner, run_id=target)
            left_s = until_s - self._monotonic_s()
            target = view.continued_last or target
            if left_s <= 0 or (view.state in run.TERMINAL and view.continued_last is None):
                return view
            pause(min(delay_s, left_s))
            delay_s = min(delay_s * 1.5, WAIT_LONGEST_S)

    def cancel(self, run_id: uuid.UUID | str, *, tenant: str | records.Tenant = "default") -> bool:
        """Ask a run to stop; False when it is over already. A second call changes nothing. Raises RunMissing."""
        return self._doors.cancel(tenant=self.tenant(tenant), run_id=history.run_uuid(run_id))

    def retry(self, run_id: uuid.UUID | str, *, tenant: str | records.Tenant = "default") -> None:
        """Make the failed steps of a failed or expired run due again. Raises RunMissing, RunNotRetryable."""
        self._doors.retry(tenant=self.tenant(tenant), run_id=history.run_uuid(run_id))

    def signal(
        self,
        run_id: uuid.UUID | str,
        name: str,
        payload: identity.JsonValue = None,
        *,
        tenant: str | records.Tenant = "default",
        idempotency_key: str | None = None,
    ) -> None:
        """Deliver a signal, kept until the run asks for it. A second call with the same key changes nothing.

        Raises InvalidInput, RunMissing, RunTerminal, SignalsFull.
        """
        problems = [
            *admission.key_problems(idempotency_key, field="idempotency_key"),
            *values.problems(payload, field="payload"),
        ]
        if not 1 <= len(name) <= SIGNAL_CHARACTERS_MAX or not name.isprintable():
            problems.append(Problem(field="name", message=f"must be 1 to {SIGNAL_CHARACTERS_MAX} printable characters"))
        if not problems and values.size_bytes(payload) > self.limits.inline_bytes_max:
            problems.append(Problem(field="payload", message=f"is over {self.limits.inline_bytes_max} bytes as JSON"))
        if problems:
            raise InvalidInput(problems)
        self._doors.signal(
            tenant=self.tenant(tenant),
            run_id=history.run_uuid(run_id),
            name=name,
            payload=payload,
            idempotency_key=idempotency_key,
        )

    # Artifacts

    def upload(
        self,
        chunks: bytes | Iterator[bytes],
        *,
        media_type: str | None = None,
        tenant: str | records.Tenant = "default",
    ) -> artifact.Artifact:
        """Store bytes and give the reference to pass on; the same bytes give the same reference.

        media_type: what the bytes are said to be; checked against what they are. Raises ``ports.blobs.BlobRefused``,
        leaving nothing behind.
        """
        owner = self.tenant(tenant)
        stream = iter((chunks,)) if isinstance(chunks, bytes) else chunks
        reference = self._media.write_sync(tenant=owner.name, chunks=stream, claimed_media_type=media_type)
        self._doors.artifact_record(tenant=owner, reference=reference)
        return reference

    def find_artifact(self, identifier: str, *, tenant: str | records.Tenant = "default") -> artifact.Artifact | None:
        """Give a tenant's artifact by its id ``sha256:…``; None when there is none, or when this is no id."""
        try:
            named = artifact.Artifact.from_json({"id": identifier})
        except ValueError:
            return None
        return self._doors.artifact(tenant=self.tenant(tenant), sha256=named.sha256)

    def read(self, reference: artifact.Artifact, *, tenant: str | records.Tenant = "default") -> Iterator[bytes]:
        """Stream an artifact that ``artifact`` gave. Raises ``ports.blobs.BlobMissing`` at the first step."""
        return self._media.read_sync(tenant=self.tenant(tenant).name, sha256=reference.sha256)

    def workflows(self) -> Collection[needs.Workflow]:
        """Show every loaded version of every workflow."""
        return self._programs.workflows()

    def workflow(self, name: str) -> needs.Workflow:
        """Show the newest loaded version of a workflow. Raises UnknownWorkflow."""
        return admission.find_workflow(self._programs, name, None)

    def models(self) -> Collection[needs.Model]:
        """Show the models that code declares."""
        return self._programs.models()

    def endpoints(self) -> list[records.EndpointView]:
        """Show every endpoint with its limits and health."""
        return self._doors.endpoints()

    def readiness(self) -> list[readiness.Dependency]:
        """Look at everything this process needs, one after the other.

        Never raises: a check that does is its own finding.
        """
        return readiness.look_at(self._checks)

    # Who asks

    def find_tenant(self, name: str) -> records.Tenant | None:
        """Give the tenant of this name, None when there is none."""
        return self._doors.find_tenant(name=name)

    def tenant(self, tenant: str | records.Tenant) -> records.Tenant:
        """Give the tenant of this name, made when it does not exist."""
        return tenant if isinstance(tenant, records.Tenant) else self._doors.tenant(name=tenant)

    def create_key(
        self,
        *,
        tenant: str,
        name: str,
        scopes: frozenset[str] = frozenset({"read", "write"}),
        expires_at: datetime.datetime | None = None,
    ) -> tuple[str, records.ApiKeyView]:
        """Make a key for a tenant. It is given once and kept only as a hash. Raises InvalidInput."""
        if problems := keys.problems(tenant=tenant, name=name, scopes=scopes):
            raise InvalidInput(problems)
        key = keys.new_key()
        view = self._doors.create_api_key(
            tenant=tenant, name=name, key_hash=keys.key_hash(key), scopes=scopes, expires_at=expires_at
        )
        return key, view

    # Providers that call back

    def callback(self, *, endpoint: str, token: str | None, headers: Mapping[str, str], body: bytes) -> bool | None:
        """Believe a provider's callback and make its step look; False when it came before.

        token: None for one that came to an account's one address: it must be signed, and the job that it names tells
        which call it is about; None is given when no call in flight has that job. headers: names in lower case. Raises
        TokenRefused, ``ports.provider.CallbackRefused``, LookupError for an endpoint or attempt that is not there.
        """
        read = None if token is None else tokens.read_callback_token(secret_key=self.limits.secret_key, token=token)
        event = self._verify_callback(endpoint=endpoint, headers=headers, body=body, now_s=self._now().timestamp())
        if read is None and not event.is_verified:
            raise provider.CallbackRefused(f"{endpoint}: without a token in its address a callback must be signed")
        handle, attempt_id = event.handle, None if read is None else str(read)
        if attempt_id is None and handle is not None:
            attempt_id = self._doors.find_job(endpoint=endpoint, handle=handle)
            if attempt_id is None:
                self._doors.note_stray(endpoint=endpoint, handle=handle)
        if attempt_id is None:
            return None
        return self._doors.callback(endpoint=endpoint, attempt_id=attempt_id, event_id=event.event_id, handle=handle)

    def _replay_of_refused(self, new: records.NewRun, *, before: int = 0) -> records.Submission | None:
        """Give the run that a request stands for already, when it would be refused now. Raises Refused otherwise."""
        refusal = self.backpressure.refusal(new, before=before)
        if refusal is None:
            return None
        replay = None if new.idempotency_key is None else self._doors.replay(new)
        if replay is None:
            raise refusal
        return replay

    def _admit(self, request: RunRequest, owner: records.Tenant) -> records.NewRun:
        return admission.admit(
            request,
            tenant=owner,
            programs=self._programs,
            limits=self.limits,
            now=self._now(),
            find_artifact=lambda sha256: self._doors.artifact(tenant=owner, sha256=sha256),
        )
