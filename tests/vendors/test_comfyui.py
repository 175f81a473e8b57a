"""Comfy's own proxy and SDK, and a client of ComfyUI's own routes, get from the twin what they get from ComfyUI."""

import pytest

from heddle.twins.comfyui import twin
from tests.vendors import rig

pytestmark = pytest.mark.needs("vendors/comfyui")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> rig.Told:
    twins = {
        "twin": rig.twin(twin.ComfyuiTwin, latency_s=0.2),
        "slow": rig.twin(twin.ComfyuiTwin, latency_s=1.0),
        "long": rig.twin(twin.ComfyuiTwin, latency_s=600.0),
        "failing": rig.twin(twin.ComfyuiTwin, latency_s=0.2, failed=1.0),
    }
    return rig.run("comfyui", tmp_path_factory.mktemp("comfyui"), twins)


PNG = "89504e47"


def test_client_when_it_waits_by_websocket_or_polls_then_it_has_the_pictures(told: rig.Told) -> None:
    assert list(told.said["waited_for"].values()) == [PNG]
    assert told.said["polled"]["status"] == "success"
    assert told.said["polled"]["place"] in (0, 1)


def test_client_when_it_uploads_or_looks_then_it_reads_what_is_there(told: rig.Told) -> None:
    uploaded = told.said["uploaded"]

    assert (uploaded["name"], uploaded["subfolder"], uploaded["type"]) == ("cup.png", "given", "input")
    assert bytes.fromhex(uploaded["data"]) == b"\x89PNG cup"
    assert told.said["looked_at"] == {
        "nodes": ["SaveImage"],
        "devices": 1,
        "embeddings": [],
        "queue": ["queue_pending", "queue_running"],
    }


def test_client_when_a_job_is_wrong_fails_or_is_interrupted_then_it_hears_so(told: rig.Told) -> None:
    assert told.said["wrong"]["raised"] == "ComfyApiError"
    assert told.said["failing"] == {"raised": "ComfyApiError", "words": "Execution error occurred."}
    assert told.said["interrupted"] == ["execution_start", "execution_interrupted"]


def test_sdk_when_it_runs_a_graph_through_the_proxy_then_it_has_the_picture(told: rig.Told) -> None:
    assert told.said["sdk"]["status"] == "succeeded"
    assert told.said["sdk"]["starts"] == PNG
    assert told.said["sdk_with_an_asset"] == "succeeded"


def test_sdk_when_it_follows_a_job_then_news_of_it_come_to_the_end(told: rig.Told) -> None:
    assert told.said["sdk_followed"]["status"] == "succeeded"
    assert {"OutputReady", "StatusChange"} <= set(told.said["sdk_followed"]["events"])


def test_sdk_when_a_job_is_wrong_fails_or_is_cancelled_then_it_says_so(told: rig.Told) -> None:
    assert told.said["sdk_wrong"]["raised"] == "InvalidWorkflow"
    assert told.said["sdk_failing"]["raised"] == "JobFailed"
    assert told.said["sdk_cancelled"] == "canceled"


def test_books_when_all_is_done_then_each_job_is_there_once(told: rig.Told) -> None:
    assert {name: books.paid for name, books in told.books.items()} == {"twin": 3, "slow": 2, "long": 2, "failing": 2}
    assert all(books.paid_twice == () for books in told.books.values())
