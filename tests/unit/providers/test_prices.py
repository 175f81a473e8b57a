"""What calls are expected to cost by a price list."""

import pytest

from heddle.config import deployment
from heddle.providers import prices

FILE = """
[endpoints.studio]
adapter = "openai"
url = "http://127.0.0.1:1"
price = "list"

[[routes]]
model = "render"
endpoint = "studio"
"""
LIST = """
source = "a page"
read_on = 2026-11-20
[models."writer"]
input_usd_per_mtok = "2"
output_usd_per_mtok = "8"
[models."painter"]
image_usd = "0.05"
[models."mover"]
second_usd = "0.1"
price_usd = "0.01"
"""


def deployed(text: str) -> deployment.Deployment:
    return deployment.parse(text, file="heddle.toml")


def named(model: str, use: str = "") -> deployment.Deployment:
    return deployed(
        FILE.replace('price = "list"', f'price = "list"\nmodel_name = "{model}"') + f"\n[models.render]\n{use}"
    )


@pytest.fixture(autouse=True)
def own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    book = prices.parse(LIST, place="prices.toml")
    monkeypatch.setattr(prices, "read", lambda _adapter: book)


def amounts(wanted: deployment.Deployment) -> dict[tuple[str, str], int]:
    """Give what a call costs by route that uses what its model says."""
    return {route: found.nano_usd for route, found in prices.expected(wanted).items()}


@pytest.mark.parametrize(
    ("model", "use", "cost_nano_usd"),
    [
        ("writer", "tokens = 3000\noutput_tokens = 1000", 12_000_000),
        ("writer-2026-01-01", "tokens = 3000\noutput_tokens = 1000", 12_000_000),
        ("painter", "", 50_000_000),
        ("painter", "images = 4", 200_000_000),
        ("mover", "seconds = 5", 510_000_000),
    ],
)
def test_expected_when_the_list_has_the_model_then_it_is_priced_by_what_a_call_uses(
    model: str, use: str, cost_nano_usd: int
) -> None:
    assert amounts(named(model, use)) == {("render", "studio"): cost_nano_usd}


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("writer", r"\[models.render\] does not say what a call uses: write tokens, output_tokens, images or seconds"),
        ("sculptor", "the list of the adapter openai has no 'sculptor'; write price_usd too"),
    ],
)
def test_expected_when_nothing_can_price_a_call_then_refused_in_one_sentence(model: str, sentence: str) -> None:
    with pytest.raises(deployment.DeploymentRefused, match=sentence):
        prices.expected(named(model))


def test_expected_when_the_endpoint_has_a_price_too_then_what_the_list_lacks_costs_that() -> None:
    text = FILE.replace('price = "list"', 'price = "list"\nprice_usd = "0.5"\nmodel_name = "sculptor"')

    assert prices.expected(deployed(text)) == {}


@pytest.mark.parametrize(
    ("resource", "cost_nano_usd"),
    [
        ("projects/acme/locations/us-central1/publishers/google/models/mover", 510_000_000),
        ("projects/acme/locations/us-central1/endpoints/mover", 50_000_000),
    ],
)
def test_expected_when_the_resource_ends_with_a_model_then_that_is_priced(resource: str, cost_nano_usd: int) -> None:
    text = FILE.replace('price = "list"', f'price = "list"\nresource = "{resource}"').replace("render", "painter")

    assert amounts(deployed(text + "\n[models.painter]\nseconds = 5")) == {("painter", "studio"): cost_nano_usd}


def test_expected_when_an_endpoint_has_one_price_then_the_list_is_not_asked() -> None:
    assert prices.expected(deployed(FILE.replace('price = "list"', 'price_usd = "0.5"'))) == {}


@pytest.mark.parametrize(
    ("adapter", "model", "is_priced"),
    [
        ("openai", "owner/painter", True),
        ("openai", "owner/painter-2026-01-01", True),
        ("openai", "owner/painter-20260101", False),
        ("openai", "owner/painter-2026-13-01", False),
        ("openai", "owner/painter-2026-02-30", False),
        ("anthropic", "owner/painter-20260101", True),
        ("anthropic", "owner/painter-2026-01-01", False),
        ("anthropic", "owner/painter-20261301", False),
        ("replicate", "owner/painter-2026-01-01", False),
        ("openai", "owner/painter-2024", False),
        ("openai", "owner/painter-0613", False),
        ("openai", "owner/painter-latest", False),
        ("openai", "owner/painter-lora", False),
        ("openai", "owner/painter-pro", False),
        ("openai", "owner/painter-1.1", False),
        ("openai", "painter", False),
    ],
)
def test_price_when_a_name_ends_in_more_than_its_vendors_date_then_it_is_another_model(
    adapter: str, model: str, is_priced: bool
) -> None:
    book = prices.parse(LIST.replace('"painter"', '"owner/painter"'), place="prices.toml")

    assert (prices.of(book, model, adapter=adapter) is not None) is is_priced
