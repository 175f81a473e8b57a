"""A step where its code runs: stored arguments in, stored output out, artifacts read and written for one tenant."""

import asyncio
import hashlib
import json
from collections.abc import Iterator

import pytest

from heddle.core import artifact, faults
from heddle.program import artifacts, declare, errors, registry, trampoline, types


class MemoryAccess:
    """Keep artifacts in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}

    def read(self, *, tenant: str, reference: artifact.Artifact) -> bytes:
        if (tenant, reference.sha256) not in self.kept:
            fault = faults.StepFault(fault=faults.Fault.REJECTED_PERMANENT, message="no such artifact")
            raise errors.ArgumentsRefused(fault)
        return self.kept[tenant, reference.sha256]

    def write(self, *, tenant: str, content: bytes, media_type: str | None) -> artifact.Artifact:
        sha256 = hashlib.sha256(content).hexdigest()
        self.kept[tenant, sha256] = content
        return artifact.Artifact(sha256=sha256, media_type=media_type or "text/plain", size_bytes=len(content))


@pytest.fixture
def access() -> Iterator[MemoryAccess]:
    made = MemoryAccess()
    with registry.isolated():
        declare_steps()
        artifacts.install(made)
        yield made
        artifacts.install(None)


def declare_steps() -> None:
    @declare.step
    def shout(text: types.Artifact) -> types.Artifact:
        return artifacts.write_artifact(artifacts.read_artifact(text).upper(), "text/plain")

    @declare.step(name="shout_async")
    async def _shout_async(text: types.Artifact) -> types.Artifact:
        return await artifacts.awrite_artifact((await artifacts.aread_artifact(text)).upper(), "text/plain")

    @declare.step
    def count(words: list[str]) -> int:
        return len(words) if words else "none"  # type: ignore[return-value]

    @declare.step
    def stumble(words: list[str]) -> int:
        raise KeyError(words[0])


def arguments(**named: object) -> str:
    return json.dumps(named)


def test_run_step_then_it_gives_the_output_and_what_was_written(access: MemoryAccess) -> None:
    text = access.write(tenant="acme", content=b"hello", media_type="text/plain")

    answer = trampoline.read_answer(trampoline.run_step("acme", "shout", arguments(text=text.as_json())))

    assert answer.fault is None
    assert [access.kept["acme", each.sha256] for each in answer.artifacts] == [b"HELLO"]
    assert answer.output == answer.artifacts[0].as_json()


def test_run_step_async_then_it_gives_the_same(access: MemoryAccess) -> None:
    text = access.write(tenant="acme", content=b"hello", media_type="text/plain")
    given = arguments(text=text.as_json())

    said = trampoline.read_answer(asyncio.run(trampoline.run_step_async("acme", "shout_async", given)))

    assert said == trampoline.read_answer(trampoline.run_step("acme", "shout", given))


def test_run_step_when_the_artifact_is_another_tenants_then_it_is_not_there(access: MemoryAccess) -> None:
    text = access.write(tenant="acme", content=b"hello", media_type="text/plain")

    answer = trampoline.read_answer(trampoline.run_step("globex", "shout", arguments(text=text.as_json())))

    assert answer.fault is not None
    assert answer.fault.fault is faults.Fault.REJECTED_PERMANENT


@pytest.mark.parametrize(
    ("given", "fault", "said"),
    [
        ({"words": "hello"}, faults.Fault.REJECTED_PERMANENT, "words"),
        ({"words": []}, faults.Fault.BAD_OUTPUT, "output"),
    ],
)
def test_run_step_when_a_value_does_not_fit_then_the_answer_names_it(
    access: MemoryAccess, given: dict[str, object], fault: faults.Fault, said: str
) -> None:
    answer = trampoline.read_answer(trampoline.run_step("acme", "count", arguments(**given)))

    assert answer.fault is not None
    assert answer.fault.fault is fault
    assert said in answer.fault.message


def test_run_step_when_the_authors_code_raises_then_it_is_raised(access: MemoryAccess) -> None:
    with pytest.raises(KeyError, match="one"):
        trampoline.run_step("acme", "stumble", arguments(words=["one"]))


def test_read_artifact_when_no_step_runs_then_it_says_where_it_works() -> None:
    reference = artifact.Artifact(sha256="0" * 64, media_type="text/plain", size_bytes=1)

    with pytest.raises(artifacts.ArtifactsUnavailable, match="running step"):
        artifacts.read_artifact(reference)
