"""What heddle.toml says of objectives, regions, canaries and gates is read, or refused in one sentence."""

import pytest

from heddle.config import deployment, routing
from heddle.core.policy import objective, quality

BASE = """
[endpoints.a]
adapter = "http"
url = "http://h"
regions = ["us", "eu"]
"""
GOOD = f"""{BASE}
[models.m]
objective = "cheapest"
deadline_s = 20

[models.m.quality]
decodes = true
width_min = 512
aspect = 1
blank_max = 0.98
near_duplicate_of = "input.image"

[[routes]]
model = "m"
endpoint = "a"
canary = true
latency_max_s = 8

[tenants.t]
regions = ["eu"]
"""


def test_parse_when_routing_is_declared_then_it_is_read() -> None:
    found = deployment.parse(GOOD, file="heddle.toml")

    model, (route,) = found.models["m"], found.routes
    assert (model.objective, model.deadline_s) == (objective.Objective.CHEAPEST, 20)
    assert model.quality == quality.QualityOptions(
        decodes=True, width_min=512, aspect=1, blank_max=0.98, near_duplicate_of="input.image"
    )
    assert (route.canary, route.latency_max_s) == (True, 8)
    assert (found.endpoints["a"].regions, found.tenants["t"].regions) == (("eu", "us"), ("eu",))


def test_parse_when_nothing_is_said_then_weights_count_and_nothing_is_refused() -> None:
    found = deployment.parse(f'{BASE}[models.m]\n[tenants.t]\n[[routes]]\nmodel = "m"\nendpoint = "a"', file="f")

    assert (found.models["m"].objective, found.models["m"].quality) == (objective.Objective.WEIGHTS, None)
    assert (found.routes[0].canary, found.tenants["t"].regions) == (False, None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[models.m]\nobjective = "best"',
            "[models.m] objective is 'best'; it must be one of weights, cheapest, fastest, most_reliable",
        ),
        ("[models.m]\nquality = 1", "[models.m] quality is 1; it must be a table"),
        ("[models.m.quality]\nsharp = true", "[models.m] quality has the unknown key 'sharp'; it may have aspect, "),
        ('[models.m.quality]\nwidth_min = "x"', "[models.m] quality width_min is 'x', which is not of its type"),
        ("[models.m.quality]\nwidth_min = true", "[models.m] quality width_min is True, which is not of its type"),
        ("[models.m.quality]\nblank_max = 2", "[models.m] quality blank_max is 2; it must be from 0 to 1 (share)"),
        ("[tenants.t]\nregions = []", "[tenants.t] regions is []; it must be a list of one to 16 names"),
        ('[tenants.t]\nregions = ["EU"]', "[tenants.t] regions is ['EU']; it must be a list of one to 16 names"),
        ('[tenants.t]\nregions = ["a", "a"]', "it must be a list of one to 16 names of a-z 0-9 _ -, each once"),
        ('[[routes]]\nmodel = "m"\nendpoint = "a"\ncanary = 1', "number 1 canary is 1; it must be true or false"),
        (
            '[[routes]]\nmodel = "m"\nendpoint = "a"\nlatency_max_s = 0',
            "latency_max_s is 0; it must be a number from 0.001 to 86,400",
        ),
    ],
)
def test_parse_when_routing_makes_no_sense_then_one_sentence_says_what_may_be(text: str, sentence: str) -> None:
    with pytest.raises(deployment.DeploymentRefused) as refused:
        deployment.parse(f"{BASE}{text}", file="heddle.toml")

    assert sentence in str(refused.value)


def test_gates_when_stored_and_read_back_then_they_are_the_same_and_what_is_newer_is_left_out() -> None:
    gates = quality.QualityOptions(decodes=True, aspect=1.5)

    assert routing.stored_gates({**routing.gates_json(gates), "of_a_later_release": 1}) == gates
