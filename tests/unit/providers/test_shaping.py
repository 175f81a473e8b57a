"""One model at several providers: its input in the provider's words, the provider's answer in the model's."""

from typing import Any

import pytest

from heddle.config import deployment
from heddle.core import attempt, faults, settle
from heddle.ports import provider
from heddle.providers import registry, shaping

INPUT = {"scene": "sea", "seed": 7}
SHAPE = shaping.Shape(
    input={"prompt": "{input.scene}", "seed": "{input.seed}", "steps": 4, "style": "{input.style?}"},
    output={"image": "{output.images.0.url}", "seed": "{input.seed}"},
)


class Echo:
    """Remember what was asked, and answer as scripted."""

    capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.C, is_paid=True)

    def __init__(self, outcome: settle.Outcome) -> None:
        self.outcome = outcome
        self.asked: list[provider.ProviderRequest] = []

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        self.asked.append(request)
        return self.outcome

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        return await self.send(request)


def request(given: dict[str, Any]) -> provider.ProviderRequest:
    return provider.ProviderRequest(
        attempt_id="a",
        idempotency_key="k",
        model="backdrop",
        input=given,
        timeout_s=1.0,
        artifacts=None,  # type: ignore[arg-type]
    )


def shaped(outcome: settle.Outcome) -> tuple[shaping.ShapedProvider, Echo]:
    inner = Echo(outcome)
    return shaping.ShapedProvider(inner, SHAPE, where="endpoint there"), inner  # type: ignore[arg-type]


async def test_send_when_shaped_then_each_side_has_its_own_words() -> None:
    made, inner = shaped(settle.Completed(output={"images": [{"url": "sha256:1"}]}, cost_nano_usd=5))

    outcome = await made.send(request(INPUT))

    assert inner.asked[0].input == {"prompt": "sea", "seed": 7, "steps": 4}
    assert outcome == settle.Completed(output={"image": "sha256:1", "seed": 7}, cost_nano_usd=5)


async def test_send_when_the_input_lacks_what_the_shape_asks_for_then_nothing_is_sent() -> None:
    made, inner = shaped(settle.Completed(output={}))

    outcome = await made.send(request({"seed": 7}))

    assert inner.asked == []
    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is faults.Fault.REJECTED_PERMANENT


@pytest.mark.parametrize("cost", [5, None], ids=["told", "not told"])
async def test_poll_when_the_answer_lacks_what_the_shape_asks_for_then_bad_output_that_was_billed(
    cost: int | None,
) -> None:
    made, _ = shaped(settle.Completed(output={"images": []}, cost_nano_usd=cost))

    outcome = await made.poll("job", request(INPUT))

    assert isinstance(outcome, settle.Faulted)
    assert (outcome.fault.fault, outcome.billed_nano_usd) == (faults.Fault.BAD_OUTPUT, cost)


async def test_poll_when_the_job_still_runs_then_that_is_passed_on() -> None:
    made, _ = shaped(settle.StillRunning(poll_after_s=1.0, note="position 3"))

    assert await made.poll("job", request(INPUT)) == settle.StillRunning(poll_after_s=1.0, note="position 3")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("x", "must be a table"),
        ({}, "must be a table"),
        ({"inputs": {}}, "must be a table"),
        ({"input": {"a": "{inptu.scene}"}}, "unknown placeholder"),
        ({"output": "{model.x}"}, "only output, input has parts"),
        ({"input": "{input.scene}"}, "must be a table: the provider's arguments"),
    ],
)
def test_build_when_the_shape_is_wrong_then_refused_with_its_place(shape: object, words: str) -> None:
    endpoint = deployment.Endpoint(
        name="there", adapter="http", url="http://127.0.0.1:9", scopes=("there",), options={"shape": shape}
    )

    with pytest.raises(registry.EndpointRefused, match=r"\[endpoints.there\] shape") as refused:
        registry.build(endpoint, {})

    assert words in str(refused.value)
