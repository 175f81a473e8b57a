"""A call that an admission of unknown outcome leased is let go unsent, however late its commit comes."""

import pathlib
import uuid
from collections.abc import Sequence
from typing import Any

import openai
import pytest

from heddle import wiring
from heddle.core.attempt import AttemptState
from heddle.engine import parts as parts_module
from heddle.engine import worker
from heddle.ports import calls as calls_port
from heddle.ports import records, store
from tests import pg
from tests.integration import gateway_site, working
from tests.races import scene


class Doubtful:
    """Be the store, but lose the answer to the first admission; it is committed when ``commit`` is called."""

    def __init__(self, given: Any) -> None:
        self._store = given
        self.kept: tuple[Sequence[calls_port.NewCall], calls_port.Offer] | None = None
        self.read_back = 0
        self.may_read_back = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def submit_calls(
        self, *, calls: Sequence[calls_port.NewCall], offer: calls_port.Offer | None = None
    ) -> calls_port.Admitted:
        if self.kept is None and offer is not None:
            self.kept = (calls, offer)
            raise store.StoreLost("the connection was cut while it was being committed")
        admitted: calls_port.Admitted = await self._store.submit_calls(calls=calls, offer=offer)
        return admitted

    async def readback(self, **asked: Any) -> list[store.LeaseRef]:
        if not self.may_read_back:
            raise store.StoreLost("away")
        found: list[store.LeaseRef] = await self._store.readback(**asked)
        self.read_back += 1
        return found

    async def commit(self) -> uuid.UUID:
        """Let the admission come through; give its run."""
        assert self.kept is not None, "an admission was lost"
        calls, offer = self.kept
        admitted = await self._store.submit_calls(calls=calls, offer=offer)
        assert len(admitted.taken) == 1, "its call was leased"
        run_id: uuid.UUID = calls[0].run_id
        return run_id


async def asked(site: gateway_site.Site) -> None:
    """Ask once, and be told that it is not known what became of it."""
    client = openai.AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0)
    site.talker.will(gateway_site.done(gateway_site.completion("hello")))
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "a"}])


def doubt(made: list[Doubtful], parts: parts_module.Parts) -> None:
    """Put a doubtful store before the real one."""
    made.append(Doubtful(parts.store))
    parts.store = made[0]  # type: ignore[assignment]


async def attempts(run_id: uuid.UUID) -> list[AttemptState]:
    """Give the states of the tries of a run's call."""
    views: list[records.StepView] = await scene.in_thread(lambda: wiring.client().steps(str(run_id), tenant="default"))
    return [each.state for each in views[0].attempts]


async def test_admission_when_its_commit_comes_after_the_look_for_it_then_the_call_is_let_go_and_sent_once(
    database: pg.Database, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_RECONCILE_HOLD_S", 0.1)
    made = list[Doubtful]()
    async with gateway_site.open_site(
        database, tmp_path, prepare=lambda parts: doubt(made, parts), heartbeat_s=0.2
    ) as site:
        (doubtful,) = made
        await asked(site)
        await working.until(lambda: doubtful.read_back > 0)

        run_id = await doubtful.commit()
        view = await working.waited(run_id)
        sent = len(site.talker.asked)

    assert (view.state.value, sent) == ("succeeded", 1)
    assert await attempts(run_id) == [AttemptState.REJECTED, AttemptState.DONE]


async def test_admission_when_the_gateway_leaves_before_it_could_look_then_it_lets_the_call_go_unsent(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    made = list[Doubtful]()
    async with gateway_site.open_site(database, tmp_path, prepare=lambda parts: doubt(made, parts)) as site:
        (doubtful,) = made
        doubtful.may_read_back = False
        await asked(site)
        run_id = await doubtful.commit()
        # From now on it claims nothing more, and so looks for nothing before a claim.
        site.parts.is_draining = True
        doubtful.may_read_back = True

    assert await attempts(run_id) == [AttemptState.REJECTED]
