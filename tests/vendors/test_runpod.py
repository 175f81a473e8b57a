"""RunPod's own package gets from the twin what it gets from RunPod, and the twin's books tell of each job once."""

import pytest

from heddle.twins.runpod import twin
from tests.vendors import rig

pytestmark = pytest.mark.needs("vendors/runpod")

LONG_S = 600.0


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> rig.Told:
    twins = {
        "twin": rig.twin(twin.RunPodTwin),
        "long": rig.twin(twin.RunPodTwin, latency_s=LONG_S),
        "failing": rig.twin(twin.RunPodTwin, failed=1.0),
    }
    return rig.run("runpod", tmp_path_factory.mktemp("runpod"), twins)


def test_jobs_when_run_waited_for_or_followed_then_each_gives_its_output(told: rig.Told) -> None:
    assert told.said["run"] == {"status": "COMPLETED", "output": ["image", "seed"], "seed": 7}
    assert told.said["run_sync"] == ["image", "seed"]
    assert told.said["stream"] == {"chunks": [], "output": ["image", "seed"]}
    assert told.said["run_async"] == {"status": "COMPLETED", "output": ["image", "seed"]}


def test_jobs_when_cancelled_or_purged_then_the_package_sees_them_ended(told: rig.Told) -> None:
    assert told.said["cancel"] == {"before": "IN_QUEUE", "answer": "CANCELLED", "status": "CANCELLED"}
    assert told.said["cancel_async"] == "CANCELLED"
    assert told.said["purge"] == {"answer": {"removed": 1, "status": "completed"}, "status": "CANCELLED"}


def test_job_when_it_fails_then_final_and_without_an_output(told: rig.Told) -> None:
    assert told.said["failed"] == {"status": "FAILED", "output": None}


def test_health_when_asked_then_jobs_and_workers_are_counted(told: rig.Told) -> None:
    health = told.said["health"]

    assert health["jobs"] == {"completed": 4, "failed": 0, "inProgress": 0, "inQueue": 0, "retried": 0}
    assert set(health["workers"]) == {"idle", "running"}


def test_requests_when_refused_then_the_package_raises_its_own_errors(told: rig.Told) -> None:
    assert told.said["wrong_key"]["raised"] == "RuntimeError"
    assert told.said["wrong_key"]["words"].startswith("401 Unauthorized")
    assert told.said["unknown_job"]["raised"] == "HTTPError"
    assert told.said["unknown_job"]["words"].startswith("404 Client Error")
    assert told.said["policy"]["words"].startswith("400 Client Error")


def test_books_when_all_is_done_then_each_job_is_paid_once(told: rig.Told) -> None:
    assert {name: (books.paid, books.cancelled) for name, books in told.books.items()} == {
        "twin": (4, 0),
        "long": (3, 3),
        "failing": (1, 0),
    }
    assert all(books.paid_twice == () for books in told.books.values())
