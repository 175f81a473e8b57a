"""Settings: who wins, and that a wrong one stops the start with one sentence that names it."""

import dataclasses
from typing import Any

import pytest

from heddle.config import settings

FIELDS = dataclasses.fields(settings.Settings)
NUMBERS = [field for field in FIELDS if field.metadata.get("low") is not None]


def load(environ: dict[str, str] | None = None, django: dict[str, Any] | None = None) -> settings.Settings:
    return settings.load(environ=environ or {}, django=django)


def refusal(environ: dict[str, str] | None = None, django: dict[str, Any] | None = None) -> str:
    with pytest.raises(settings.SettingRefused) as caught:
        load(environ, django)
    return str(caught.value)


def test_load_when_nothing_is_set_then_every_setting_has_its_default() -> None:
    assert load() == settings.Settings()


def test_load_when_django_and_the_environment_disagree_then_the_environment_wins() -> None:
    loaded = load({"HEDDLE_WORKERS": "5"}, {"workers": 3, "worker_batch": 50})

    assert (loaded.workers, loaded.worker_batch) == (5, 50)


def test_load_when_only_database_url_is_set_then_it_is_read_and_wins_over_django() -> None:
    loaded = load({"DATABASE_URL": "postgresql://a/b"}, {"database_url": "postgresql://django/x"})

    assert loaded.database_url == "postgresql://a/b"


def test_load_when_both_addresses_are_set_then_the_one_with_our_prefix_wins() -> None:
    loaded = load({"HEDDLE_DATABASE_URL": "postgresql://ours/b", "DATABASE_URL": "postgresql://a/b"})

    assert loaded.database_url == "postgresql://ours/b"


def test_load_when_variables_are_not_ours_then_they_are_left_alone() -> None:
    assert load({"PATH": "/bin", "HEDDLEX": "1", "heddle_workers": "7", "DATABASE_URL": ""}) == settings.Settings()


@pytest.mark.parametrize("name", ["HEDDLE_API_KEY", "HEDDLE_API_URL", "HEDDLE_TEST_INSTALL", "HEDDLE_SEED"])
def test_load_when_a_variable_steers_something_else_of_ours_then_it_is_no_unknown_setting(name: str) -> None:
    assert load({name: "x"}) == settings.Settings()


@pytest.mark.parametrize(
    ("text", "is_required"),
    [("1", True), ("true", True), ("TRUE", True), ("yes", True), ("0", False), ("false", False), ("No", False)],
)
def test_load_when_a_flag_is_a_text_then_it_is_read(text: str, is_required: bool) -> None:
    assert load({"HEDDLE_IDEMPOTENCY_REQUIRED": text}).idempotency_required is is_required


@pytest.mark.parametrize(
    ("environ", "django", "sentence"),
    [
        (
            {"HEDDLE_WORKER": "2"},
            {},
            "HEDDLE_WORKER is not a setting; the settings are listed in docs/reference/settings.md",
        ),
        ({}, {"worker": 2}, "HEDDLE['worker'] is not a setting; the settings are listed in docs/reference/settings.md"),
        ({"HEDDLE_WORKERS": "two"}, {}, "HEDDLE_WORKERS is 'two'; it must be of type int"),
        ({"HEDDLE_WORKERS": "2.5"}, {}, "HEDDLE_WORKERS is '2.5'; it must be of type int"),
        ({"HEDDLE_WORKERS": ""}, {}, "HEDDLE_WORKERS is ''; it must be of type int"),
        ({}, {"lease_s": None}, "HEDDLE_LEASE_S is None; it must be of type float"),
        (
            {"HEDDLE_IDEMPOTENCY_REQUIRED": "perhaps"},
            {},
            "HEDDLE_IDEMPOTENCY_REQUIRED is 'perhaps'; it must be of type bool",
        ),
        ({"HEDDLE_WORKERS": "0"}, {}, "HEDDLE_WORKERS is 0; it must be from 1 to 64 processes"),
        ({}, {"workers": 65}, "HEDDLE_WORKERS is 65; it must be from 1 to 64 processes"),
        ({"HEDDLE_WEB_PORT": "-1"}, {}, "HEDDLE_WEB_PORT is -1; it must be from 0 to 65535 port"),
        ({"HEDDLE_LEASE_S": "1.5"}, {}, "HEDDLE_LEASE_S is 1.5; it must be from 2 to 600 s"),
        ({"HEDDLE_LEASE_S": "inf"}, {}, "HEDDLE_LEASE_S is inf; it must be from 2 to 600 s"),
        (
            {"HEDDLE_LOG_LEVEL": "loud"},
            {},
            "HEDDLE_LOG_LEVEL is 'loud'; it must be one of debug, info, warning, error",
        ),
    ],
)
def test_load_when_a_setting_is_wrong_then_one_sentence_names_it(
    environ: dict[str, str], django: dict[str, Any], sentence: str
) -> None:
    assert refusal(environ, django) == sentence


def test_load_when_a_number_is_not_a_number_then_it_is_refused() -> None:
    assert refusal({"HEDDLE_LEASE_S": "nan"}) == "HEDDLE_LEASE_S is nan; it must be from 2 to 600 s"


@pytest.mark.parametrize(
    "django",
    [
        {"workers": True},
        {"workers": 2.5},
        {"lease_s": False},
        {"config_file": 7},
        {"config_file": None},
        {"log_level": []},
    ],
)
def test_load_when_django_gives_a_value_of_another_type_then_it_is_refused_and_not_bent(django: dict[str, Any]) -> None:
    (name,) = django

    assert refusal(django=django).startswith(f"HEDDLE_{name.upper()} is {django[name]!r}; it must be ")


def test_load_when_two_beats_do_not_fit_into_a_lease_then_both_settings_are_named() -> None:
    told = refusal({"HEDDLE_LEASE_S": "9", "HEDDLE_HEARTBEAT_S": "5"})

    assert told == "HEDDLE_HEARTBEAT_S must be at most half of HEDDLE_LEASE_S, or one late beat loses the leases"


def test_load_when_two_beats_just_fit_into_a_lease_then_it_is_accepted() -> None:
    assert load({"HEDDLE_LEASE_S": "10", "HEDDLE_HEARTBEAT_S": "5"}).lease_s == 10.0


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_setting_then_it_has_one_sentence_and_a_number_says_what_it_counts(field: "dataclasses.Field[Any]") -> None:
    sentence = field.metadata["sentence"]

    assert sentence.endswith(".")
    assert sentence[0].isupper()
    assert "\n" not in sentence
    assert field not in NUMBERS or field.metadata["unit"]


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
def test_setting_when_a_number_then_its_ends_are_accepted_and_its_default_lies_between(
    field: "dataclasses.Field[Any]",
) -> None:
    low, high = field.metadata["low"], field.metadata["high"]
    # The other end of the one rule that binds two settings.
    room = {"heartbeat_s": "0.2"} if field.name == "lease_s" else {"lease_s": "600"}

    for end in (low, high):
        given = {f"HEDDLE_{name.upper()}": text for name, text in {**room, field.name: str(end)}.items()}
        assert getattr(load(given), field.name) == end
    assert low <= field.default <= high


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
def test_setting_when_a_number_is_just_past_its_range_then_it_is_refused(field: "dataclasses.Field[Any]") -> None:
    for beyond in (field.metadata["low"] - 1, field.metadata["high"] + 1):
        assert f"HEDDLE_{field.name.upper()} is" in refusal({f"HEDDLE_{field.name.upper()}": str(beyond)})


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_setting_when_it_is_a_time_or_a_size_then_its_name_ends_with_its_unit(field: "dataclasses.Field[Any]") -> None:
    endings = {"s": ("_s",), "bytes": ("_bytes", "_bytes_max"), "h": ("_hours",)}

    assert field.name.endswith(endings.get(field.metadata["unit"], ("",)))


def test_settings_when_frozen_then_nobody_changes_them_on_the_way() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().workers = 3  # type: ignore[misc]
