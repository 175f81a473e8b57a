"""Hold what was registered: workflows, steps and models, each callable by authors and readable by the engine.

A definition is what its decorator returns. Called inside of a running workflow it plans a call; a step called outside
is the plain function, so that it can be tested as one. Definitions also are the borders where values become JSON and
back. Neighbours: ``declare`` makes them, ``registry`` keeps them, ``driver``, the engine and the doors read them.
"""

import collections.abc
import dataclasses
from typing import Any

import pydantic
import pydantic_core

from heddle.core import identity, plan, step
from heddle.core.policy import retry as retry_policy
from heddle.program import activation, encoding, fitting, types
from heddle.program.call import Call
from heddle.program.errors import ArgumentsRefused, InputRefused, OutsideWorkflow

# Inside of a workflow a Call, outside the plain value of a step: no static type says both, and an edge must be allowed
# wherever the value it stands for is.
Planned = Any
# Steps and models have no versions; their lanes carry this one.
UNVERSIONED = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """Call a definition with other options than its own, for this call only."""

    definition: "WorkflowDefinition | StepDefinition | ModelDefinition"
    options: plan.CallOptions

    def __call__(self, *arguments: object, **keywords: object) -> Planned:
        """Plan a call inside of a workflow."""
        definition = self.definition
        here = activation.required(f"{definition.name}.options(…)", "outside it is called without .options(…)")
        return definition.planned_by(here, arguments, keywords, self.options)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepDefinition:
    """Hold a registered step. ``reference`` is ``module:qualname``, by which another process finds the definition."""

    name: str
    function: collections.abc.Callable[..., Any]
    reference: str
    is_async: bool
    parameters: fitting.Parameters
    output: types.Codec
    call_options: plan.CallOptions
    description: str = ""
    version: int = UNVERSIONED

    def __call__(self, *arguments: object, **keywords: object) -> Planned:
        """Plan a call inside of a workflow."""
        here = activation.current()
        if here is None:
            return self.function(*arguments, **keywords)
        return self.planned_by(here, arguments, keywords, self.call_options)

    def planned_by(
        self,
        here: activation.Activation,
        arguments: tuple[object, ...],
        keywords: dict[str, object],
        options: plan.CallOptions,
    ) -> Call[Any]:
        """Plan one call of the step."""
        return here.make(
            kind=step.StepKind.STEP,
            name=self.name,
            version=self.version,
            arguments=self.parameters.bind(self.name, arguments, keywords),
            options=options,
            decode=self.output.decode,
        )

    def options(
        self,
        *,
        timeout_s: float | None = None,
        retry: retry_policy.RetryOptions | None = None,
        detach: bool = False,
        memory_bytes: int | None = None,
    ) -> Configured:
        """Give the step with other options for one call. Raises ValueError out of range."""
        return Configured(
            definition=self,
            options=fitting.changed_options(
                self.call_options, timeout_s=timeout_s, retries=retry, detach=detach, memory_bytes=memory_bytes
            ),
        )

    @property
    def timeout_s(self) -> float | None:
        """Give the time one attempt may take, None for the setting's default."""
        return self.call_options.timeout_s

    @property
    def retry(self) -> retry_policy.RetryOptions:
        """Give how often and when the step is tried again."""
        return self.call_options.retry

    @property
    def memory_bytes(self) -> int | None:
        """Give the cap of the process that runs the step, None for the setting's default."""
        return self.call_options.memory_bytes

    def decode_arguments(self, encoded: collections.abc.Mapping[str, identity.JsonValue]) -> dict[str, Any]:
        """Read resolved arguments as the parameters' types. Raises ArgumentsRefused naming each that does not fit."""
        decoded: dict[str, Any] = {}
        problems: list[str] = []
        for name, value in encoded.items():
            codec = self.parameters.codecs.get(name)
            if codec is None:
                problems.append(f"{name}: the step has no such parameter")
                continue
            try:
                decoded[name] = codec.decode(value)
            except pydantic.ValidationError as error:
                problems.extend(types.sentences(error, root=name))
        missing = self.parameters.required - encoded.keys()
        if missing:
            problems.extend(f"{name}: missing" for name in self.parameters.names if name in missing)
        if problems:
            raise ArgumentsRefused(fitting.bad_arguments(f"step {self.name}", problems))
        return decoded

    def validate_input(self, raw: collections.abc.Mapping[str, object]) -> dict[str, identity.JsonValue]:
        """Turn an input from a door into the stored form. Raises InputRefused naming each field."""
        what = f"the input of step {self.name}"
        checked: dict[str, object] = {}
        problems = [(name, "is missing") for name in sorted(self.parameters.required - raw.keys())]
        for name, value in raw.items():
            codec = self.parameters.codecs.get(name)
            if codec is None:
                problems.append((name, f"is no parameter of it; it has {fitting.listed(self.parameters.names)}"))
                continue
            try:
                checked[name] = codec.adapter.dump_python(codec.adapter.validate_python(value), by_alias=True)
            except pydantic.ValidationError as error:
                problems.extend(types.errors(error, root=name))
        if problems:
            raise InputRefused(what, problems)
        return fitting.stored(what, checked)

    def encode_output(self, value: object) -> identity.JsonValue:
        """Write what the function returned. Raises OutputRefused, bad_output or too_large, naming the place."""
        return self.output.encode_output(value, where=f"step {self.name}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelDefinition:
    """Hold a declared model. ``input`` and ``output`` are its types, None when it takes and gives any JSON."""

    name: str
    input: Any
    output: Any
    input_codec: types.Codec | None
    output_codec: types.Codec | None
    fields: frozenset[str] | None
    required: frozenset[str]
    call_options: plan.CallOptions
    version: int = UNVERSIONED

    def __call__(self, **keywords: object) -> Planned:
        """Plan a call inside of a workflow. Raises OutsideWorkflow elsewhere."""
        here = activation.required(
            f"calling the model {self.name}", f"outside, ask a client, or POST /v1/models/{self.name}/infer"
        )
        return self.planned_by(here, (), keywords, self.call_options)

    def planned_by(
        self,
        here: activation.Activation,
        arguments: tuple[object, ...],
        keywords: dict[str, object],
        options: plan.CallOptions,
    ) -> Call[Any]:
        """Plan one call of the model."""
        if arguments:
            raise TypeError(f"{self.name}() takes its arguments by name")
        if self.fields is not None:
            unknown, missing = keywords.keys() - self.fields, self.required - keywords.keys()
            if unknown or missing:
                raise TypeError(
                    f"{self.name}() takes {fitting.listed(self.fields)}; "
                    f"unknown: {fitting.listed(unknown)}; missing: {fitting.listed(missing)}"
                )
        return here.make(
            kind=step.StepKind.MODEL,
            name=self.name,
            version=self.version,
            arguments=keywords,
            options=options,
            decode=encoding.decode if self.output_codec is None else self.output_codec.decode,
        )

    def options(
        self,
        *,
        timeout_s: float | None = None,
        retry: retry_policy.RetryOptions | None = None,
        detach: bool = False,
        tokens: int | None = None,
        images: int | None = None,
        is_fresh: bool = False,
    ) -> Configured:
        """Give the model with other options for one call. Raises ValueError out of range.

        tokens, images: what this call is expected to use of its endpoint's limits. is_fresh: it takes no other call's
        result, whatever the model declares.
        """
        options = fitting.changed_options(
            self.call_options, timeout_s=timeout_s, retries=retry, detach=detach, tokens=tokens, images=images
        )
        return Configured(
            definition=self, options=dataclasses.replace(options, reuse=None if is_fresh else options.reuse)
        )

    @property
    def input_schema(self) -> dict[str, Any] | None:
        """Give the JSON Schema of the input, None when it takes any."""
        return None if self.input_codec is None else self.input_codec.input_schema

    @property
    def output_schema(self) -> dict[str, Any] | None:
        """Give the JSON Schema of the output, None when it gives any."""
        return None if self.output_codec is None else self.output_codec.output_schema

    def validate_input(
        self, raw: collections.abc.Mapping[str, object], *, bytes_max: int = encoding.INLINE_BYTES_MAX
    ) -> dict[str, identity.JsonValue]:
        """Turn an input from a door into the stored form. Raises InputRefused naming each field."""
        what = f"the input of model {self.name}"
        if self.input_codec is None:
            return fitting.stored(what, raw, bytes_max=bytes_max)
        try:
            checked = self.input_codec.adapter.validate_python(dict(raw))
            dumped = self.input_codec.adapter.dump_python(checked, by_alias=True)
            return fitting.stored(what, dumped, bytes_max=bytes_max)
        except pydantic.ValidationError as error:
            raise InputRefused(what, types.errors(error)) from error
        except pydantic_core.PydanticSerializationError as error:
            raise InputRefused(what, [("input", str(error))]) from error

    def validate_arguments(
        self, encoded: collections.abc.Mapping[str, identity.JsonValue]
    ) -> dict[str, identity.JsonValue]:
        """Check resolved arguments against the input type and give them with its defaults. Raises ArgumentsRefused."""
        if self.input_codec is None:
            return dict(encoded)
        try:
            checked: dict[str, identity.JsonValue] = self.input_codec.encode(encoding.decode(dict(encoded)))
        except (pydantic.ValidationError, identity.NotJson) as error:
            problems = types.sentences(error) if isinstance(error, pydantic.ValidationError) else [str(error)]
            raise ArgumentsRefused(fitting.bad_arguments(f"model {self.name}", problems)) from error
        return checked

    def encode_output(self, value: object) -> identity.JsonValue:
        """Write what an endpoint gave: JSON values and artifacts. Raises OutputRefused, naming the place."""
        if self.output_codec is None:
            return types.encode_json_output(value, where=f"model {self.name}")
        return self.output_codec.encode_output(value, where=f"model {self.name}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkflowDefinition:
    """Hold one version of a registered workflow.

    ``input_model`` has a field for each parameter and allows no other; ``input_schema`` and ``output_schema`` are JSON
    Schema, published as they are.
    """

    name: str
    version: int
    function: collections.abc.Callable[..., collections.abc.Coroutine[Any, Any, Any]]
    reference: str
    parameters: fitting.Parameters
    input_model: type[pydantic.BaseModel]
    output: types.Codec
    input_schema: dict[str, Any]
    call_options: plan.CallOptions
    description: str = ""

    def __call__(self, *arguments: object, **keywords: object) -> Planned:
        """Plan a call inside of a workflow."""
        here = activation.current()
        if here is None:
            raise OutsideWorkflow(
                f"the workflow {self.name} is durable only when a client starts it: "
                f"heddle.wiring.client().submit({self.name!r}, …); "
                f"in a test use heddle.program.local.run_locally, or {self.name}.function for the bare coroutine"
            )
        return self.planned_by(here, arguments, keywords, self.call_options)

    def planned_by(
        self,
        here: activation.Activation,
        arguments: tuple[object, ...],
        keywords: dict[str, object],
        options: plan.CallOptions,
    ) -> Call[Any]:
        """Plan a child run, of the newest version loaded."""
        return here.make(
            kind=step.StepKind.WORKFLOW,
            name=self.name,
            version=None,
            arguments=self.parameters.bind(self.name, arguments, keywords),
            options=options,
            decode=self.output.decode,
        )

    def options(self, *, timeout_s: float | None = None, detach: bool = False) -> Configured:
        """Give the workflow with other options for one child run. Raises ValueError out of range."""
        return Configured(
            definition=self,
            options=fitting.changed_options(self.call_options, timeout_s=timeout_s, retries=None, detach=detach),
        )

    @property
    def output_schema(self) -> dict[str, Any]:
        """Give the JSON Schema of the result."""
        return self.output.output_schema

    def validate_input(self, raw: collections.abc.Mapping[str, object]) -> dict[str, identity.JsonValue]:
        """Turn an input from a door into the stored form, defaults filled in. Raises InputRefused naming each field."""
        what = f"the input of workflow {self.name}"
        try:
            checked = self.input_model.model_validate(dict(raw))
        except pydantic.ValidationError as error:
            raise InputRefused(what, types.errors(error)) from error
        return fitting.stored(what, checked.__dict__)

    def validate_encoded_input(
        self, encoded: collections.abc.Mapping[str, identity.JsonValue]
    ) -> dict[str, identity.JsonValue]:
        """Do the same for a child run, whose input is the resolved arguments of a call. Raises InputRefused."""
        return self.validate_input(encoding.decode(dict(encoded)))

    def decode_input(self, encoded: collections.abc.Mapping[str, identity.JsonValue]) -> dict[str, Any]:
        """Read a stored input as keyword arguments of the parameters' types. Raises pydantic.ValidationError."""
        if not self.parameters.names and not encoded:
            return {}
        return dict(self.input_model.model_validate(encoding.decode(dict(encoded))).__dict__)

    def encode_output(self, value: object) -> identity.JsonValue:
        """Write a result. Raises OutputRefused, bad_output or too_large, naming the place."""
        return self.output.encode_output(value, where=f"workflow {self.name}")

    def validate_output(self, encoded: identity.JsonValue) -> identity.JsonValue:
        """Check a result, ``plan.resolve`` of what was returned, and give its stored form. Raises OutputRefused."""
        return self.encode_output(encoding.decode(encoded))
