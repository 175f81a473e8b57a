"""What may be registered, what is refused with every reason, and what is warned about."""

import asyncio
import datetime
import os
import random as chance
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

import heddle
from heddle.program import direct, errors, registry
from tests.unit.program import journals


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    with registry.isolated():
        yield


class Socket:
    """Stand for a type that JSON cannot carry."""


async def generator() -> AsyncIterator[int]:
    """Yield."""
    yield 1


def sync() -> None:
    """Do nothing, at once."""


async def with_stars(*numbers: int, **named: int) -> None:
    """Take anything."""


async def unannotated(photo, scenes: list[str]):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - what is tested
    """Say nothing of types."""


async def positional(photo: str, /) -> None:
    """Take a place, not a name."""


async def unserialisable(socket: Socket, raw: bytes, names: set[str], by_id: dict[int, str]) -> Callable[[], None]:
    """Take what cannot be stored."""
    return sync


async def hidden(_photo: str) -> None:
    """Hide a parameter."""


async def bad_default(count: int = "many") -> None:  # type: ignore[assignment]
    """Have a default of another type."""


async def lost(photo: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821 - what is tested
    """Name a type that is nowhere."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (generator, ["generator"]),
        (sync, ["not async"]),
        (with_stars, ["*numbers", "**named"]),
        (unannotated, ["parameter photo has no annotation", "result has no annotation"]),
        (positional, ["photo is positional-only"]),
        (
            unserialisable,
            ["parameter socket: Socket has no JSON form", "raw: bytes", "names: set", "by_id: dict", "the result: "],
        ),
        (hidden, ["_photo begins with an underscore"]),
        (bad_default, ["default of count does not fit"]),
        (lost, ["Nowhere"]),
        (Socket, ["it is a type"]),
    ],
)
def test_workflow_when_it_cannot_be_one_then_every_problem_is_listed(function: Any, words: list[str]) -> None:
    with pytest.raises(heddle.RegistrationRefused) as refused:
        heddle.workflow(function)

    assert [word for word in words if word not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout_s": 0}, "timeout_s is 0.1 to 86,400 seconds"),
        ({"memory_bytes": 5}, "memory_bytes is at least"),
        ({"name": "no spaces"}, "the name 'no spaces'"),
    ],
)
def test_step_when_its_options_are_out_of_range_then_it_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(heddle.RegistrationRefused, match=words):
        heddle.step(**options)(sync)


@pytest.mark.parametrize("version", [0, True, "2"])
def test_workflow_when_its_version_is_no_positive_number_then_it_is_refused(version: Any) -> None:
    with pytest.raises(heddle.RegistrationRefused, match="version is 1 to"):
        heddle.workflow(version=version)(journals_noop)


async def journals_noop() -> None:
    """Do nothing."""


def test_name_when_held_by_another_function_then_both_are_named() -> None:
    heddle.step(name="unit.taken")(sync)

    with pytest.raises(heddle.RegistrationRefused, match=r"test_registration:sync, and .*\.other wants it"):

        @heddle.step(name="unit.taken")
        def other() -> None:
            """Want the same name."""


def test_function_when_loaded_again_then_it_replaces_itself() -> None:
    heddle.step(name="unit.again")(sync)

    again = heddle.step(name="unit.again", timeout_s=9)(sync)

    assert registry.step("unit.again") is again


def test_registry_when_several_versions_are_loaded_then_the_newest_is_given_for_none() -> None:
    for version in (2, 10, 1):
        heddle.workflow(name="unit.many", version=version)(journals_noop)

    assert registry.workflow("unit.many").version == 10
    assert registry.workflow("unit.many", 2).version == 2
    assert [one.version for one in registry.workflows() if one.name == "unit.many"] == [1, 2, 10]
    with pytest.raises(errors.NotRegistered, match="no version 3 loaded; loaded are 1, 10, 2"):
        registry.workflow("unit.many", 3)
    with pytest.raises(errors.NotRegistered, match=r"no step 'unit\.none' is loaded"):
        registry.step("unit.none")


def test_find_when_a_model_is_neither_declared_nor_routed_then_told_where_models_come_from() -> None:
    with pytest.raises(errors.NotRegistered) as refused:
        direct.find(f"model:unit.none{'x' * 1_000}", is_routed=lambda _: False)

    told = str(refused.value)
    assert told.startswith("no model 'unit.nonexxx")
    assert told.endswith(
        "a model is declared in code with heddle.model(NAME), or named by [[routes]] of heddle.toml, which "
        "`heddle migrate` applies"
    )
    assert "x" * 200 not in told


class In(pydantic.BaseModel):
    """Hold a model's input."""

    image: str
    seed: int = 0


def test_model_when_declared_again_then_the_same_types_are_the_same_model_and_others_are_refused() -> None:
    heddle.model("unit.relight", input=In, output=str)
    heddle.model("unit.relight", input=In, output=str)

    with pytest.raises(heddle.RegistrationRefused, match="its output was str and is now any JSON"):
        heddle.model("unit.relight", input=In)
    with pytest.raises(heddle.RegistrationRefused, match="no named fields"):
        heddle.model("unit.listed", input=list[int])


def test_model_when_called_with_other_names_than_its_fields_then_the_line_is_named() -> None:
    relight = heddle.model("unit.relight", input=In)

    @heddle.workflow(name="unit.mistaken")
    async def mistaken() -> None:
        relight(picture="x")

    fault = journals.fault_of(journals.first_plan(mistaken))

    assert fault.message == ("TypeError: unit.relight() takes image, seed; unknown: picture; missing: image")


def test_step_when_called_outside_of_a_workflow_then_it_is_the_plain_function() -> None:
    @heddle.step(name="unit.plain")
    def plain(number: int, *, plus: int = 1) -> int:
        return number + plus

    assert plain(2) == 3
    assert plain(number=2, plus=5) == 7


def test_workflow_and_model_when_called_outside_then_they_say_what_to_use() -> None:
    workflow = heddle.workflow(name="unit.outside")(journals_noop)

    with pytest.raises(heddle.OutsideWorkflow, match=r"wiring\.client\(\)\.submit\('unit\.outside'"):
        workflow()
    with pytest.raises(heddle.OutsideWorkflow, match=r"POST /v1/models/unit\.model/infer"):
        heddle.model("unit.model")(image="x")
    with pytest.raises(heddle.OutsideWorkflow, match=r"asyncio\.sleep"):
        heddle.sleep(1)
    with pytest.raises(heddle.OutsideWorkflow, match=r"heddle\.wiring\.client\(\)\.signal\(run_id, name"):
        heddle.signal("go")


def test_step_when_bound_wrongly_then_pythons_words_name_the_parameter() -> None:
    @heddle.step(name="unit.bound")
    def bound(first: int, second: int = 0, *, third: int = 0) -> None:
        """Take three."""

    def problem(*arguments: int, **named: int) -> str:
        @heddle.workflow(name="unit.binds")
        async def binds() -> None:
            bound(*arguments, **named)

        with registry.isolated():
            return journals.fault_of(journals.first_plan(binds)).message

    assert problem() == "TypeError: unit.bound() lacks first"
    assert problem(1, 2, 3) == "TypeError: unit.bound() takes 2 positional arguments, 3 were given"
    assert problem(1, first=2) == "TypeError: unit.bound() got several values for first"
    assert problem(1, fourth=2) == "TypeError: unit.bound() has no parameter fourth; it has first, second, third"


def test_workflow_when_it_reads_the_outside_then_each_line_is_warned_about() -> None:
    class Photo:
        objects: Any

    async def impure(path: str) -> None:
        from datetime import datetime as moment

        time.time()
        moment.now()  # noqa: DTZ005 - what is tested
        datetime.date.today()  # noqa: DTZ011 - what is tested
        chance.random()
        uuid.uuid4()
        Path(path).read_text()  # noqa: ASYNC240 - what is tested
        open(path)  # noqa: SIM115, PTH123, ASYNC230 - what is tested
        os.environ["HOME"]
        Photo.objects.filter(name=path).first()
        await asyncio.sleep(1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        heddle.workflow(name="unit.impure")(impure)

    lines = Path(__file__).read_text().splitlines()
    found = [(lines[warning.lineno - 1].strip().partition("  #")[0], str(warning.message)) for warning in caught]
    assert [line for line, _ in found] == [
        "time.time()",
        "moment.now()",
        "datetime.date.today()",
        "chance.random()",
        "uuid.uuid4()",
        "Path(path).read_text()",
        "open(path)",
        'os.environ["HOME"]',
        "Photo.objects.filter(name=path).first()",
        "await asyncio.sleep(1)",
    ]
    assert all(warning.category is heddle.WorkflowWarning for warning in caught)
    assert "use await heddle.now()" in found[0][1]


def test_workflow_when_it_only_uses_heddles_forms_then_nothing_is_warned_about() -> None:
    async def pure(path: str) -> str:
        at = await heddle.now()
        draw = heddle.random().random()
        os.path.join(path, "x")  # noqa: PTH118 - what is tested
        return f"{at} {draw} {chance.Random(1).random()}"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        heddle.workflow(name="unit.pure")(pure)


def test_isolated_when_empty_then_nothing_of_outside_is_known_inside_and_all_of_it_again_after() -> None:
    with registry.isolated():
        heddle.model("known_outside")
        with registry.isolated(is_empty=True):
            inside = [model.name for model in registry.models()]
        after = [model.name for model in registry.models()]

    assert inside == []
    assert "known_outside" in after
