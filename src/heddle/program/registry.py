"""Keep what authors registered, by name.

One registry per process: decorators fill it while modules are imported, the engine and the doors read it. A name means
one thing; loading the same function again (a reload) replaces it. Nothing here imports author code. Neighbours:
``declare`` before, ``driver`` and the engine after.
"""

import collections.abc
import contextlib
import dataclasses

from heddle.core.policy import schedule
from heddle.program.definitions import ModelDefinition, StepDefinition, WorkflowDefinition
from heddle.program.errors import NotRegistered, RegistrationRefused

NAME_CHARACTERS_SHOWN = 100
NAMES_SHOWN = 20
MODELS_COME = (
    "a model is declared in code with heddle.model(NAME), or named by [[routes]] of heddle.toml, which "
    "`heddle migrate` applies"
)


@dataclasses.dataclass(slots=True)
class _Names:
    workflows: dict[str, dict[int, WorkflowDefinition]] = dataclasses.field(default_factory=dict)
    steps: dict[str, StepDefinition] = dataclasses.field(default_factory=dict)
    models: dict[str, ModelDefinition] = dataclasses.field(default_factory=dict)
    schedules: dict[str, schedule.ScheduleOptions] = dataclasses.field(default_factory=dict)


_names = _Names()


def workflows() -> list[WorkflowDefinition]:
    """List every version of every workflow, by name and version."""
    return [versions[number] for _, versions in sorted(_names.workflows.items()) for number in sorted(versions)]


def steps() -> list[StepDefinition]:
    """List the steps by name."""
    return [definition for _, definition in sorted(_names.steps.items())]


def models() -> list[ModelDefinition]:
    """List the models by name."""
    return [definition for _, definition in sorted(_names.models.items())]


def schedules() -> list[schedule.ScheduleOptions]:
    """List the schedules that code declares, by name."""
    return [options for _, options in sorted(_names.schedules.items())]


def workflow(name: str, version: int | None = None) -> WorkflowDefinition:
    """Give one version of a workflow, the newest for None. Raises NotRegistered naming what is loaded."""
    versions = _names.workflows.get(name)
    if versions is None:
        raise NotRegistered(f"no workflow {name!r} is loaded; loaded are {_list(_names.workflows)}")
    number = max(versions) if version is None else version
    if number not in versions:
        raise NotRegistered(f"workflow {name!r} has no version {number} loaded; loaded are {_list(map(str, versions))}")
    return versions[number]


def step(name: str) -> StepDefinition:
    """Give a step. Raises NotRegistered naming what is loaded."""
    if name not in _names.steps:
        raise NotRegistered(f"no step {_named(name)} is loaded; loaded are {_list(_names.steps)}; see HEDDLE_WORKFLOWS")
    return _names.steps[name]


def model(name: str) -> ModelDefinition:
    """Give a model. Raises NotRegistered naming what is declared."""
    if name not in _names.models:
        raise NotRegistered(f"no model {_named(name)} is declared; declared are {_list(_names.models)}; {MODELS_COME}")
    return _names.models[name]


def stated_use(name: str) -> tuple[int | None, int | None]:
    """Give the tokens and the images that a model's declaration says a call uses; None where nothing says so."""
    declared = _names.models.get(name)
    return (None, None) if declared is None else (declared.call_options.tokens, declared.call_options.images)


def newest_version(name: str) -> int:
    """Give the highest version of a workflow loaded here. Raises NotRegistered."""
    return workflow(name).version


def add_workflow(definition: WorkflowDefinition) -> None:
    """Register one version of a workflow. Raises RegistrationRefused when another function holds it."""
    versions = _names.workflows.setdefault(definition.name, {})
    _refuse_other(
        f"workflow {definition.name!r} version {definition.version}", versions.get(definition.version), definition
    )
    versions[definition.version] = definition


def add_step(definition: StepDefinition) -> None:
    """Register a step. Raises RegistrationRefused when another function holds its name."""
    _refuse_other(f"step {definition.name!r}", _names.steps.get(definition.name), definition)
    _names.steps[definition.name] = definition


def add_model(definition: ModelDefinition) -> None:
    """Register a model, again with the same types if need be. Raises RegistrationRefused when its types differ."""
    held = _names.models.get(definition.name)
    if held is not None:
        for side, before, after in (
            ("input", held.input, definition.input),
            ("output", held.output, definition.output),
        ):
            if _identity(before) != _identity(after):
                raise RegistrationRefused(
                    f"model {definition.name!r}",
                    [f"its {side} was {_shown(before)} and is now {_shown(after)}; declare it once and import it"],
                )
    _names.models[definition.name] = definition


def add_schedule(options: schedule.ScheduleOptions) -> None:
    """Keep a schedule; another one of its name is replaced."""
    _names.schedules[options.name] = options


@contextlib.contextmanager
def isolated(*, is_empty: bool = False) -> collections.abc.Iterator[None]:
    """Forget on leaving what was registered inside: for tests. ``is_empty``: know nothing of what is outside either."""
    before = dataclasses.replace(
        _names,
        workflows={name: dict(versions) for name, versions in _names.workflows.items()},
        steps=dict(_names.steps),
        models=dict(_names.models),
        schedules=dict(_names.schedules),
    )
    if is_empty:
        _names.workflows, _names.steps, _names.models, _names.schedules = {}, {}, {}, {}
    try:
        yield
    finally:
        _names.workflows, _names.steps, _names.models = before.workflows, before.steps, before.models
        _names.schedules = before.schedules


def _refuse_other(
    what: str, held: WorkflowDefinition | StepDefinition | None, new: WorkflowDefinition | StepDefinition
) -> None:
    if held is not None and held.reference != new.reference:
        raise RegistrationRefused(
            what, [f"the name is held by {held.reference}, and {new.reference} wants it; give one of them name=…"]
        )


def _identity(annotation: object) -> object:
    if isinstance(annotation, type):
        return annotation.__module__, annotation.__qualname__
    return annotation


def _shown(annotation: object) -> str:
    return "any JSON" if annotation is None else getattr(annotation, "__qualname__", str(annotation))


def _named(name: str) -> str:
    return repr(name[:NAME_CHARACTERS_SHOWN])


def _list(names: collections.abc.Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join([*ordered[:NAMES_SHOWN], *(["…"] if len(ordered) > NAMES_SHOWN else [])]) or "none"
