"""Run one registered step on stored arguments and give its stored output, where the step's code is.

In the compute pool, or in the worker's loop for an async step: text in, text out. Decoding, the author's code and
encoding all happen here, so that a large value costs the worker's
loop nothing and a value of the wrong type is named where it was made. What the model classifies (arguments or output
that do not fit) is part of the answer; what the author's code raises is raised. Neighbours: the engine's execute calls
it and reads the answer; ``artifacts`` serves the step meanwhile.
"""

import dataclasses
import json
from typing import Any

from heddle.core import artifact, faults, identity
from heddle.program import artifacts, registry
from heddle.program.errors import FaultRaised

REFERENCE = "heddle.program.trampoline:run_step"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Hold what became of a step: its encoded output, or the fault; and the artifacts it wrote."""

    output: identity.JsonValue
    fault: faults.StepFault | None
    artifacts: tuple[artifact.Artifact, ...]


def run_step(tenant: str, step_name: str, arguments_json: str) -> str:
    """Run a sync step and give its answer as JSON, for ``read_answer``.

    ``arguments_json``: an object of resolved, encoded arguments. Raises NotRegistered, and whatever the author's code
    raises.
    """
    definition = registry.step(step_name)
    with artifacts.working_for(tenant) as written:
        try:
            arguments = definition.decode_arguments(json.loads(arguments_json))
            output = definition.encode_output(definition.function(**arguments))
        except FaultRaised as refused:
            return _text(Answer(output=None, fault=refused.fault, artifacts=tuple(written)))
        return _text(Answer(output=output, fault=None, artifacts=tuple(written)))


async def run_step_async(tenant: str, step_name: str, arguments_json: str) -> str:
    """Do what ``run_step`` does for an async step, in the running loop."""
    definition = registry.step(step_name)
    with artifacts.working_for(tenant) as written:
        try:
            arguments = definition.decode_arguments(json.loads(arguments_json))
            output = definition.encode_output(await definition.function(**arguments))
        except FaultRaised as refused:
            return _text(Answer(output=None, fault=refused.fault, artifacts=tuple(written)))
        return _text(Answer(output=output, fault=None, artifacts=tuple(written)))


def read_answer(text: str) -> Answer:
    """Read what ``run_step`` gave."""
    raw: dict[str, Any] = json.loads(text)
    fault = raw.get("fault")
    return Answer(
        output=raw.get("output"),
        fault=None if fault is None else faults.StepFault.from_json(fault),
        artifacts=tuple(artifact.Artifact(**each) for each in raw["artifacts"]),
    )


def _text(answer: Answer) -> str:
    body: dict[str, Any] = {"artifacts": [dataclasses.asdict(each) for each in answer.artifacts]}
    if answer.fault is None:
        body["output"] = answer.output
    else:
        body["fault"] = answer.fault.as_json()
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
