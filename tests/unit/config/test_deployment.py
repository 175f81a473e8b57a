"""heddle.toml: a whole good file, and every mistake in one sentence that names the file, the table and the key."""

import pytest

from heddle.config import deployment

GOOD = """
[models.segmenter]
[models.relight]
unknown_policy = "at_least_once"
fallback_after_s = 5

[endpoints.local]
adapter = "kserve"
url = "http://127.0.0.1:9000"

[endpoints.studio]
adapter = "http"
url = "https://studio.example/v1"
secret = "env:STUDIO_KEY"
callback_secret = "env:STUDIO_HOOK"
scopes = ["studio-account", "studio-relight"]
timeout_s = 90.5
price_usd = "0.04"
class = "A"
headers = { "X-Team" = "photos" }
retries = [1, 2.5, true]

[scopes.studio-account]
concurrency = 20
requests_per_min = 600
requests_burst = 30
[scopes.studio-relight]

[[routes]]
model = "segmenter"
endpoint = "local"
[[routes]]
model = "relight"
endpoint = "studio"
tier = 1
weight = 2

[tenants.acme]
weight = 10
budget_usd_per_day = "250.00"
"""
ENDPOINT = '[endpoints.a]\nadapter = "http"\nurl = "http://h"\n'
NO_DOLLARS = ("-1", "1.-5", "+1", " 1", "1_0", "1e3", "NaN", "", ".5", "1.", "0.0000000001", "1000000000")
ROUTE = f'{ENDPOINT}[[routes]]\nmodel = "m"\nendpoint = "a"\n'


def parse(text: str) -> deployment.Deployment:
    return deployment.parse(text, file="heddle.toml")


def refusal(text: str) -> str:
    with pytest.raises(deployment.DeploymentRefused) as caught:
        parse(text)
    return str(caught.value)


def test_parse_when_the_file_is_good_then_models_scopes_and_tenants_are_read() -> None:
    read = parse(GOOD)

    assert read.models == {
        "segmenter": deployment.Model(name="segmenter", unknown_policy="at_most_once", fallback_after_s=30.0),
        "relight": deployment.Model(name="relight", unknown_policy="at_least_once", fallback_after_s=5),
    }
    assert read.scopes == {
        "studio-account": deployment.Scope(
            name="studio-account", concurrency=20, requests_per_min=600, requests_burst=30
        ),
        "studio-relight": deployment.Scope(name="studio-relight"),
    }
    assert read.tenants == {
        "acme": deployment.Tenant(
            name="acme", weight=10, budget_usd_per_day="250.00", budget_nano_usd_per_day=250_000_000_000
        )
    }


def test_parse_when_the_file_is_good_then_endpoints_and_routes_are_read() -> None:
    read = parse(GOOD)

    assert read.endpoints["local"] == deployment.Endpoint(
        name="local", adapter="kserve", url="http://127.0.0.1:9000", scopes=("local",)
    )
    assert read.endpoints["studio"] == deployment.Endpoint(
        name="studio",
        adapter="http",
        url="https://studio.example/v1",
        scopes=("studio-account", "studio-relight"),
        secret="env:STUDIO_KEY",
        callback_secret="env:STUDIO_HOOK",
        timeout_s=90.5,
        price_nano_usd=40_000_000,
        options={"class": "A", "headers": {"X-Team": "photos"}, "retries": [1, 2.5, True]},
    )
    assert read.routes == (
        deployment.Route(model="segmenter", endpoint="local"),
        deployment.Route(model="relight", endpoint="studio", tier=1, weight=2),
    )


def test_parse_when_the_file_is_empty_then_nothing_is_configured() -> None:
    assert parse("") == deployment.EMPTY


@pytest.mark.parametrize(
    ("price", "nano_usd"),
    [("0", 0), ("0.04", 40_000_000), ("12", 12_000_000_000), ("0.000000001", 1), ("999999999.999999999", 10**18 - 1)],
)
def test_price_when_a_decimal_string_then_it_is_read_exactly(price: str, nano_usd: int) -> None:
    assert parse(f'{ENDPOINT}price_usd = "{price}"').endpoints["a"].price_nano_usd == nano_usd


@pytest.mark.parametrize("price", [*(f'"{text}"' for text in NO_DOLLARS), "0.04", "1", "true", '["1"]'])
@pytest.mark.parametrize(
    ("table", "key"), [(ENDPOINT, "[endpoints.a] price_usd"), ("[tenants.t]\n", "[tenants.t] budget_usd_per_day")]
)
def test_money_when_it_is_no_plain_decimal_string_then_it_is_refused(table: str, key: str, price: str) -> None:
    told = refusal(f"{table}{key.split()[1]} = {price}")

    assert told.startswith(f"heddle.toml: {key} is ")
    assert 'it must be a decimal string of dollars such as "0.04"' in told


@pytest.mark.parametrize("name", ["A", "-a", "a b", "é", "", "x" * 101])
@pytest.mark.parametrize("kind", ["endpoints", "scopes", "tenants"])
def test_name_when_it_is_malformed_then_it_is_refused(kind: str, name: str) -> None:
    assert refusal(f'[{kind}."{name}"]') == (
        f"heddle.toml: the name {name!r} in [{kind}] must be 1 to 100 of a-z 0-9 _ . - and begin with one of a-z 0-9"
    )


@pytest.mark.parametrize("name", ["Relight", "_draft", "v2.relight-fast", "x" * 100])
def test_name_when_code_may_call_a_model_so_then_the_file_may_too(name: str) -> None:
    read = parse(f'{ENDPOINT}[models."{name}"]\n[[routes]]\nmodel = "{name}"\nendpoint = "a"')

    assert (set(read.models), read.routes[0].model) == ({name}, name)


TABLES = "models, endpoints, scopes, routes, tenants, schedules, workflows"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[modles.x]",
            f"heddle.toml has the unknown table [modles]; it may hold {TABLES}",
        ),
        ("models = []", "heddle.toml: models must be tables of the form [models.NAME]"),
        ("[[endpoints]]", "heddle.toml: endpoints must be tables of the form [endpoints.NAME]"),
        ('scopes = "many"', "heddle.toml: scopes must be tables of the form [scopes.NAME]"),
        ("[tenants]\nacme = 5", "heddle.toml: [tenants.acme] must be a table"),
        ("[routes]", "heddle.toml: routes must be a list of tables, each of the form [[routes]]"),
        ("routes = 1", "heddle.toml: routes must be a list of tables, each of the form [[routes]]"),
        ('routes = ["m"]', "heddle.toml: routes must be a list of tables, each of the form [[routes]]"),
        (
            "[scopes.s]\nconcurency = 5",
            (
                "heddle.toml: [scopes.s] has the unknown key 'concurency'; "
                "it may have concurrency, images_burst, images_per_min, requests_burst, requests_per_min, "
                "tokens_burst, tokens_per_min"
            ),
        ),
        (
            '[scopes.s]\nname = "t"',
            (
                "heddle.toml: [scopes.s] has the unknown key 'name'; "
                "it may have concurrency, images_burst, images_per_min, requests_burst, requests_per_min, "
                "tokens_burst, tokens_per_min"
            ),
        ),
        (
            "[models.m]\ntier = 1",
            (
                "heddle.toml: [models.m] has the unknown key 'tier'; it may have deadline_s, fallback_after_s, images, "
                "objective, output_tokens, quality, seconds, tokens, unknown_policy"
            ),
        ),
        (
            "[tenants.t]\nbudget = 1",
            (
                "heddle.toml: [tenants.t] has the unknown key 'budget'; it may have budget_usd_per_day, "
                "budget_usd_per_month, open_runs_max, regions, runs_per_min, weight"
            ),
        ),
        ('[endpoints.a]\nurl = "http://h"', "heddle.toml: [endpoints.a] lacks adapter"),
        ('[endpoints.a]\nadapter = "http"', "heddle.toml: [endpoints.a] lacks url"),
        (f'{ENDPOINT}[[routes]]\nmodel = "m"', "heddle.toml: [[routes]] number 1 lacks endpoint"),
        (f"{ROUTE}[[routes]]\n", "heddle.toml: [[routes]] number 2 lacks model"),
        (
            '[[routes]]\nmodel = "m"\nendpoint = "b"',
            "heddle.toml: [[routes]] number 1 endpoint is 'b', which is not defined",
        ),
        (
            f'{ROUTE}[[routes]]\nmodel = "m"\nendpoint = "a"\ntier = 1',
            (
                "heddle.toml: [[routes]] number 2 sends the model 'm' to the endpoint 'a' a second time; "
                "one route of a model to an endpoint is enough"
            ),
        ),
        (
            f'{ENDPOINT}scopes = ["account"]',
            "heddle.toml: [endpoints.a] scopes lists 'account', which no [scopes.account] defines",
        ),
        (f"{ENDPOINT}scopes = []", "heddle.toml: [endpoints.a] lists 0 scopes; one to four are allowed"),
        (
            f'{ENDPOINT}scopes = ["1", "2", "3", "4", "5"]',
            "heddle.toml: [endpoints.a] lists 5 scopes; one to four are allowed",
        ),
        (
            f'{ENDPOINT}scopes = ["a", "a"]',
            "heddle.toml: [endpoints.a] scopes is ['a', 'a']; it must name each scope once",
        ),
        (
            '[models.m]\nunknown_policy = "twice"',
            "heddle.toml: [models.m] unknown_policy is 'twice'; it must be at_most_once or at_least_once",
        ),
    ],
)
def test_parse_when_the_file_is_wrong_then_one_sentence_names_file_table_and_key(text: str, sentence: str) -> None:
    assert refusal(text) == sentence


SCOPE, MODEL, TENANT = "[scopes.s]\n", "[models.m]\n", "[tenants.t]\n"
A_TEXT = "a text that is not empty"
A_COUNT = "a whole number from 1 to 1,000,000,000"
A_SLOT = "a whole number from 1 to 100,000"


@pytest.mark.parametrize(
    ("text", "place", "value", "wanted"),
    [
        (f'{ENDPOINT}timeout_s = "x"', "[endpoints.a] timeout_s", "'x'", "a number from 0.001 to 86,400"),
        (f"{ENDPOINT}timeout_s = 0", "[endpoints.a] timeout_s", "0", "a number from 0.001 to 86,400"),
        (f"{ENDPOINT}timeout_s = nan", "[endpoints.a] timeout_s", "nan", "a number from 0.001 to 86,400"),
        (f"{ENDPOINT}timeout_s = true", "[endpoints.a] timeout_s", "True", "a number from 0.001 to 86,400"),
        ('[endpoints.a]\nadapter = 1\nurl = "http://h"', "[endpoints.a] adapter", "1", A_TEXT),
        ('[endpoints.a]\nadapter = "http"\nurl = ["http://h"]', "[endpoints.a] url", "['http://h']", A_TEXT),
        ('[endpoints.a]\nadapter = "http"\nurl = ""', "[endpoints.a] url", "''", A_TEXT),
        ('[endpoints.a]\nadapter = "http"\nurl = "a\\u0000"', "[endpoints.a] url", "'a\\x00'", A_TEXT),
        (f'{SCOPE}concurrency = "many"', "[scopes.s] concurrency", "'many'", A_SLOT),
        (f"{SCOPE}concurrency = -1", "[scopes.s] concurrency", "-1", A_SLOT),
        (f"{SCOPE}concurrency = 2.5", "[scopes.s] concurrency", "2.5", A_SLOT),
        (f"{SCOPE}concurrency = true", "[scopes.s] concurrency", "True", A_SLOT),
        (f"{SCOPE}concurrency = 100001", "[scopes.s] concurrency", "100001", A_SLOT),
        (f"{SCOPE}concurrency = 0", "[scopes.s] concurrency", "0", A_SLOT),
        (f"{SCOPE}tokens_per_min = 0", "[scopes.s] tokens_per_min", "0", A_COUNT),
        (f"{SCOPE}images_per_min = -4", "[scopes.s] images_per_min", "-4", A_COUNT),
        (f"{SCOPE}concurrency = {{ min = 0, max = 9 }}", "[scopes.s] concurrency min", "0", A_SLOT),
        (f"{MODEL}tokens = 0", "[models.m] tokens", "0", A_COUNT),
        (f"{ROUTE}tier = -1", "[[routes]] number 1 tier", "-1", "a whole number from 0 to 100"),
        (f"{SCOPE}requests_per_min = 0", "[scopes.s] requests_per_min", "0", A_COUNT),
        (f"{SCOPE}requests_burst = [1]", "[scopes.s] requests_burst", "[1]", A_COUNT),
        (f'{MODEL}fallback_after_s = "soon"', "[models.m] fallback_after_s", "'soon'", "a number from 0 to 86,400"),
        (f"{MODEL}fallback_after_s = inf", "[models.m] fallback_after_s", "inf", "a number from 0 to 86,400"),
        (f"{MODEL}unknown_policy = []", "[models.m] unknown_policy", "[]", A_TEXT),
        (f"{TENANT}weight = 0", "[tenants.t] weight", "0", "a whole number from 1 to 1,000"),
        (f'{TENANT}weight = "heavy"', "[tenants.t] weight", "'heavy'", "a whole number from 1 to 1,000"),
        (f"{ROUTE}weight = 0", "[[routes]] number 1 weight", "0", "a number from 1e-06 to 1,000,000"),
        (f'{ROUTE}weight = "x"', "[[routes]] number 1 weight", "'x'", "a number from 1e-06 to 1,000,000"),
        (f"{ROUTE}tier = 1.5", "[[routes]] number 1 tier", "1.5", "a whole number from 0 to 100"),
        (f'{ENDPOINT}[[routes]]\nmodel = 5\nendpoint = "a"', "[[routes]] number 1 model", "5", A_TEXT),
        (f'{ENDPOINT}[[routes]]\nmodel = "m"\nendpoint = ["a"]', "[[routes]] number 1 endpoint", "['a']", A_TEXT),
        (f'{ENDPOINT}scopes = "a"', "[endpoints.a] scopes", "'a'", "a list of names of scopes"),
        (f"{ENDPOINT}scopes = [1]", "[endpoints.a] scopes", "[1]", "a list of names of scopes"),
    ],
)
def test_parse_when_a_value_is_of_the_wrong_type_or_range_then_it_is_named_with_what_it_may_be(
    text: str, place: str, value: str, wanted: str
) -> None:
    assert refusal(text) == f"heddle.toml: {place} is {value}; it must be {wanted}"


@pytest.mark.parametrize("value", ['"sk-live"', '["sk-live"]', '"env:"', '"env:A B"', '"env:1A"', "12", '{ a = "A" }'])
@pytest.mark.parametrize("key", ["secret", "callback_secret"])
def test_secret_when_it_is_not_the_name_of_a_variable_then_it_is_refused_and_not_repeated(key: str, value: str) -> None:
    told = refusal(f"{ENDPOINT}{key} = {value}")

    assert told == f'heddle.toml: [endpoints.a] {key} must be of the form "env:NAME"; secrets are not written in files'


@pytest.mark.parametrize("key", ["name", "options", "price_nano_usd"])
def test_endpoint_when_a_key_is_one_of_the_records_own_then_it_is_unknown(key: str) -> None:
    told = refusal(f'{ENDPOINT}{key} = "x"')

    assert told.startswith(f"heddle.toml: [endpoints.a] has the unknown key {key!r}; it may have adapter, ")
    assert "price, price_usd, regions, scopes, secret, spend_accounts, timeout_s, url and the options of its" in told


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("2026-11-21", "date"),
        ("2026-11-21T10:00:00Z", "datetime"),
        ("10:00:00", "time"),
        ("nan", "float"),
        ("inf", "float"),
        ('"a\\u0000b"', "str"),
        ("[1, [inf]]", "float"),
        ("{ deep = { at = 10:00:00 } }", "time"),
    ],
)
def test_endpoint_when_an_option_cannot_be_stored_then_it_is_named(value: str, kind: str) -> None:
    told = refusal(f"{ENDPOINT}since = {value}")

    assert told.startswith(f"heddle.toml: [endpoints.a] since is or holds a {kind} that cannot be stored; it must be ")


def test_endpoint_when_an_option_is_nested_without_end_then_it_is_refused() -> None:
    assert "[endpoints.a] deep is or holds a list" in refusal(f"{ENDPOINT}deep = {'[' * 40}{']' * 40}")


@pytest.mark.parametrize(
    "text", ["[endpoints.a", "a = ", "x = 1\nx = 2", "[models.m]\n[models.m]", f"a = {'[' * 9_999}"]
)
def test_parse_when_the_text_is_no_toml_then_the_file_is_named(text: str) -> None:
    assert refusal(text).startswith("heddle.toml is not TOML: ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            f"{SCOPE}concurrency = {{ min = 9, max = 2 }}",
            "[scopes.s] concurrency.min is 9; it must be at most max, 2",
        ),
        (f"{SCOPE}concurrency = {{ adaptive = true }}", "[scopes.s] concurrency lacks min"),
        (f"{SCOPE}concurrency = {{ min = 1, adaptive = true }}", "[scopes.s] concurrency lacks max"),
        (
            f"{SCOPE}concurrency = {{ min = 1, max = 2, adaptive = false }}",
            "[scopes.s] concurrency.adaptive must be true; for a fixed number write concurrency = 8",
        ),
        (f"{SCOPE}tokens_burst = 5", "[scopes.s] tokens_burst needs tokens_per_min, which is not given"),
        (
            f"{SCOPE}requests_per_min = 5\nrequests_burst = 7",
            "[scopes.s] requests_burst is 7; it must be at most requests_per_min + 1, 6",
        ),
        (f'{MODEL}fallback = "n"', "[models.m] has the unknown key 'fallback'; it may have deadline_s"),
    ],
)
def test_parse_when_limits_contradict_each_other_then_the_setting_is_named(text: str, sentence: str) -> None:
    assert sentence in refusal(text)


def test_parse_when_a_scope_is_adaptive_then_its_range_is_read() -> None:
    read = parse(f"{SCOPE}concurrency = {{ min = 2, max = 64, adaptive = true }}")

    assert read.scopes["s"].concurrency == deployment.Adaptive(min=2, max=64)


def test_parse_when_caps_and_list_prices_are_given_then_they_are_read() -> None:
    text = f"""{ENDPOINT}price = "list"
spend_accounts = ["key-1"]
[workflows.shoot]
budget_usd_per_day = "50"
[tenants.t]
budget_usd_per_month = "1000.5"
[models.m]
output_tokens = 10
seconds = 2.5"""

    found = deployment.parse(text, file="heddle.toml")

    endpoint = found.endpoints["a"]
    assert (endpoint.is_list_priced, endpoint.spend_accounts, dict(endpoint.options)) == (True, ("key-1",), {})
    assert found.workflows["shoot"].budget_nano_usd_per_day == 50 * 10**9
    assert found.tenants["t"].budget_nano_usd_per_month == 1_000_500_000_000
    assert (found.models["m"].output_tokens, found.models["m"].seconds) == (10, 2.5)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('price = "0.04"', """price is '0.04'; it must be "list"; for one price write price_usd"""),
        ("spend_accounts = [1]", "spend_accounts is [1]; it must be a list of names"),
    ],
)
def test_endpoint_when_its_price_or_accounts_are_wrong_then_one_sentence_says_so(text: str, sentence: str) -> None:
    assert sentence in refusal(f"{ENDPOINT}{text}")
