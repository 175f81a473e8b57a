"""DATABASE_URL becomes Django's entry, or one sentence that names what is wrong with it."""

import pytest

from heddle.config import settings
from heddle.service import database_url


def test_parse_when_everything_is_named_then_each_part_is_decoded() -> None:
    entry = database_url.parse("postgresql://an%40a:p%2Fw@db.example:6432/the%20base?sslmode=require")

    assert entry == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "the base",
        "USER": "an@a",
        "PASSWORD": "p/w",
        "HOST": "db.example",
        "PORT": "6432",
        "OPTIONS": {"sslmode": "require"},
    }


def test_parse_when_a_socket_is_named_in_the_query_then_it_is_the_host() -> None:
    entry = database_url.parse("postgresql://heddle@/heddle?host=%2Frun%2Fpostgres&port=5433")

    assert (entry["HOST"], entry["PORT"], entry["OPTIONS"]) == ("/run/postgres", "5433", {})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://127.0.0.1/heddle", "begins with mysql"),
        ("127.0.0.1/heddle", "no scheme"),
        ("postgresql://127.0.0.1", "names no database"),
        ("postgresql://127.0.0.1:port/heddle", "is no address"),
    ],
)
def test_parse_when_it_is_wrong_then_the_sentence_names_the_setting(url: str, said: str) -> None:
    with pytest.raises(settings.SettingRefused, match=said) as refused:
        database_url.parse(url)

    assert str(refused.value).startswith("DATABASE_URL")
