"""Google's own clients get from the twin what they get from Vertex AI."""

import pytest

from heddle.twins.vertex import twin
from tests.vendors import rig

pytestmark = pytest.mark.needs("vendors/vertex")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> rig.Told:
    twins = {
        "twin": rig.twin(twin.VertexTwin),
        "exhausted": rig.twin(twin.VertexTwin, throttled=1.0),
        "failing": rig.twin(twin.VertexTwin, failed=1.0),
    }
    return rig.run("vertex", tmp_path_factory.mktemp("vertex"), twins)


PNG = "89504e47"
VEO = "projects/acme/locations/us-central1/publishers/google/models/veo-3.0-generate-001"


def test_prediction_client_when_it_predicts_then_it_reads_the_pictures(told: rig.Told) -> None:
    pictures = {"types": ["image/png"] * 2, "starts": [PNG] * 2, "deployed": "7"}

    assert told.said["predict"] == pictures
    assert told.said["predict_with_a_model"] == 1


def test_genai_when_it_draws_or_embeds_then_it_reads_pictures_and_numbers(told: rig.Told) -> None:
    assert told.said["draw"] == [["image/png", PNG]] * 2
    assert told.said["draw_filtered"] == 0
    assert told.said["embed"] == [[8, True, False]] * 2


def test_genai_when_it_films_then_the_operation_ends_with_videos(told: rig.Told) -> None:
    done = {"name": VEO, "done": True, "error": None}
    (kind, uri, has_bytes) = told.said["film_into_a_bucket"].pop("videos")[0]

    assert told.said["film"] == {**done, "filtered": 0, "videos": [["video/mp4", None, True]] * 2}
    assert told.said["film_into_a_bucket"] == {**done, "filtered": 0}
    assert (kind, has_bytes) == ("video/mp4", False)
    assert uri.startswith("gs://acme-out/veo/")


def test_genai_when_nothing_comes_of_a_film_then_it_reads_why(told: rig.Told) -> None:
    assert told.said["film_filtered"]["filtered"] == 1
    assert told.said["film_filtered"]["videos"] == []
    assert told.said["film_failing"]["error"]["code"] == 13


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        ("wrong_key", "Unauthorized", "401"),
        ("no_instances", "BadRequest", "instances must be a list"),
        ("exhausted", "TooManyRequests", "Resource exhausted"),
        ("refused_in_full", "ClientError", "429 RESOURCE_EXHAUSTED"),
        ("unknown_operation", "ClientError", "404 NOT_FOUND"),
    ],
)
def test_requests_when_refused_then_the_packages_raise_their_own_errors(
    step: str, kind: str, words: str, told: rig.Told
) -> None:
    assert told.said[step]["raised"] == kind
    assert words in told.said[step]["words"]


def test_books_when_all_is_done_then_what_was_refused_is_unpaid_and_what_failed_given_back(told: rig.Told) -> None:
    books = {name: (book.paid, book.refunded) for name, book in told.books.items()}

    assert books == {"twin": (8, 0), "exhausted": (0, 0), "failing": (1, 1)}
    assert all(book.paid_twice == () for book in told.books.values())
