"""Give authors their decorators: ``workflow``, ``step`` and ``model``.

Each checks everything it can at once, so that a mistake is refused while modules are imported and not while customers
wait. Neighbours: ``signatures`` and ``syntax`` check, ``registry`` keeps.
"""

import collections.abc
import inspect
from typing import Any, overload

from heddle.core import plan
from heddle.core.policy import retry as retry_policy
from heddle.core.policy import reuse as reuse_policy
from heddle.program import definitions, fitting, registry, signatures, syntax, types
from heddle.program.errors import RegistrationRefused

VERSION_MAX = 2**31 - 1

StepFunction = collections.abc.Callable[..., Any]
WorkflowFunction = collections.abc.Callable[..., collections.abc.Coroutine[Any, Any, Any]]


@overload
def step(function: StepFunction, /) -> definitions.StepDefinition: ...
@overload
def step(
    *,
    name: str | None = None,
    timeout_s: float | None = None,
    retry: retry_policy.RetryOptions | None = None,
    memory_bytes: int | None = None,
) -> collections.abc.Callable[[StepFunction], definitions.StepDefinition]: ...
def step(
    function: StepFunction | None = None,
    /,
    *,
    name: str | None = None,
    timeout_s: float | None = None,
    retry: retry_policy.RetryOptions | None = None,
    memory_bytes: int | None = None,
) -> definitions.StepDefinition | collections.abc.Callable[[StepFunction], definitions.StepDefinition]:
    """Register a function as a step: a sync one runs in the compute pool, an async one in the worker's loop.

    ``name``: the function's own by default. ``timeout_s``: for one attempt, 0.1 to 86,400. ``memory_bytes``: the cap
    of its process. Called in a workflow it gives a Call; called elsewhere it is the plain function. Raises
    RegistrationRefused with every problem.
    """

    def register(function: StepFunction) -> definitions.StepDefinition:
        problems = signatures.shape_problems(function, must_be_async=False)
        if problems:
            raise RegistrationRefused(f"step {_shown(function)}", problems)
        signature = signatures.read(function)
        own_name = function.__name__ if name is None else name
        problems = [*signatures.name_problems(own_name), *signature.problems]
        options, option_problems = _options(timeout_s=timeout_s, retry=retry, memory_bytes=memory_bytes)
        problems.extend(option_problems)
        if problems or signature.output is None:
            raise RegistrationRefused(f"step {_shown(function)}", problems)
        definition = definitions.StepDefinition(
            name=own_name,
            function=function,
            reference=_reference(function),
            is_async=inspect.iscoroutinefunction(function),
            parameters=signature.parameters,
            output=signature.output,
            call_options=options,
            description=signatures.described(function),
        )
        registry.add_step(definition)
        return definition

    return register if function is None else register(function)


@overload
def workflow(function: WorkflowFunction, /) -> definitions.WorkflowDefinition: ...
@overload
def workflow(
    *, name: str | None = None, version: int = 1
) -> collections.abc.Callable[[WorkflowFunction], definitions.WorkflowDefinition]: ...
def workflow(
    function: WorkflowFunction | None = None, /, *, name: str | None = None, version: int = 1
) -> definitions.WorkflowDefinition | collections.abc.Callable[[WorkflowFunction], definitions.WorkflowDefinition]:
    """Register an async function as a workflow.

    ``name``: the function's own by default. ``version``: 1 to 2,147,483,647; runs stay with the version that planned
    them, and several may be loaded. Raises RegistrationRefused with every problem; warns (WorkflowWarning) at lines
    that would differ on replay.
    """

    def register(function: WorkflowFunction) -> definitions.WorkflowDefinition:
        problems = signatures.shape_problems(function, must_be_async=True)
        if problems:
            raise RegistrationRefused(f"workflow {_shown(function)}", problems)
        signature = signatures.read(function)
        own_name = function.__name__ if name is None else name
        problems = [*signatures.name_problems(own_name), *signature.problems]
        if type(version) is not int or not 1 <= version <= VERSION_MAX:
            problems.append(f"version is 1 to {VERSION_MAX:,}, not {version!r}")
        if problems or signature.output is None:
            raise RegistrationRefused(f"workflow {_shown(function)}", problems)
        try:
            model = signatures.input_model(own_name, signature)
        except types.TypeRefused as error:
            raise RegistrationRefused(f"workflow {_shown(function)}", [str(error)]) from error
        definition = definitions.WorkflowDefinition(
            name=own_name,
            version=version,
            function=function,
            reference=_reference(function),
            parameters=signature.parameters,
            input_model=model,
            output=signature.output,
            input_schema=model.model_json_schema(),
            call_options=plan.CallOptions(),
            description=signatures.described(function),
        )
        registry.add_workflow(definition)
        syntax.warn(function)
        return definition

    return register if function is None else register(function)


def model(
    name: str,
    *,
    input: object = None,  # noqa: A002 - the word of the API and of the file
    output: object = None,
    timeout_s: float | None = None,
    retry: retry_policy.RetryOptions | None = None,
    tokens: int | None = None,
    images: int | None = None,
    reuse: reuse_policy.Reuse | None = None,
) -> definitions.ModelDefinition:
    """Declare a model, where endpoints are routed by configuration and types are checked by code.

    ``input``: a dataclass, pydantic model or TypedDict whose fields are the keyword arguments; None takes any JSON.
    ``output``: any type with a JSON form; None gives any JSON. ``tokens``, ``images``: what one call is expected to use
    of its endpoint's limits, 1 to 1,000,000,000; ``[models.X]`` may say so too, and a call's ``options`` better.
    ``reuse``: that equal inputs give equal results, so that a call may take the result of another, for nothing.
    Declaring it again with the same types is the same model. Raises RegistrationRefused.
    """
    problems = signatures.name_problems(name)
    input_codec = _model_codec(input, "input", problems)
    output_codec = _model_codec(output, "output", problems)
    named = None if input_codec is None else signatures.record_fields(input_codec.input_schema)
    if input_codec is not None and named is None:
        problems.append("input: it has no named fields; use a dataclass, a pydantic model or a TypedDict")
    options, option_problems = _options(
        timeout_s=timeout_s, retry=retry, memory_bytes=None, tokens=tokens, images=images, reuse=reuse
    )
    problems.extend(option_problems)
    if problems:
        raise RegistrationRefused(f"model {name!r}", problems)
    definition = definitions.ModelDefinition(
        name=name,
        input=input,
        output=output,
        input_codec=input_codec,
        output_codec=output_codec,
        fields=None if named is None else named[0],
        required=frozenset() if named is None else named[1],
        call_options=options,
    )
    registry.add_model(definition)
    return definition


def _model_codec(annotation: object, side: str, problems: list[str]) -> types.Codec | None:
    if annotation is None:
        return None
    try:
        return types.codec(annotation)
    except types.TypeRefused as error:
        problems.append(f"{side}: {error}")
        return None


def _options(
    *,
    timeout_s: float | None,
    retry: retry_policy.RetryOptions | None,
    memory_bytes: int | None,
    tokens: int | None = None,
    images: int | None = None,
    reuse: reuse_policy.Reuse | None = None,
) -> tuple[plan.CallOptions, list[str]]:
    base = plan.CallOptions()
    try:
        changed = fitting.changed_options(
            base,
            timeout_s=timeout_s,
            retries=retry,
            detach=False,
            memory_bytes=memory_bytes,
            tokens=tokens,
            images=images,
            reuse=reuse,
        )
    except ValueError as error:
        return base, [str(error)]
    return changed, []


def _reference(function: collections.abc.Callable[..., Any]) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def _shown(function: object) -> str:
    return str(getattr(function, "__qualname__", repr(function)))
