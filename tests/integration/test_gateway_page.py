"""The page on switching is run as a reader would: before a gateway that listens, with its `dev.json` beside it."""

import json
import pathlib

import pytest

from heddle import wiring
from heddle.twins.kit import media
from tests import pg
from tests.docs import test_snippets
from tests.integration import gateway_site
from tests.races import scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGE = "docs/howto/switch-from-openai.md"


async def test_page_when_its_python_is_run_before_a_gateway_then_both_clients_have_their_answers(
    database: pg.Database, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    async with gateway_site.open_site(database, tmp_path) as site:
        (tmp_path / ".heddle").mkdir(exist_ok=True)
        (tmp_path / ".heddle" / "dev.json").write_text(json.dumps({"gateway_url": site.url, "api_key": site.key}))
        (tmp_path / "dress.png").write_bytes(media.png("dress"))
        (tmp_path / "coat.jpg").write_bytes(media.jpeg("coat"))
        look = await scene.in_thread(lambda: wiring.client().upload(media.png("look")))
        site.talker.will(
            gateway_site.done(gateway_site.completion("A cup that keeps its calm.")),
            gateway_site.done(gateway_site.completion("Still.")),
            gateway_site.done({"data": [{"image": look.as_json()}]}),
            gateway_site.done("https://example.org/beach.png"),
        )

        await scene.in_thread(lambda: test_snippets.run_page(PAGE, tmp_path))

    printed = capsys.readouterr().out
    assert "A cup that keeps its calm." in printed
    assert "Still." in printed
    assert f"{site.url}/files/" in printed
    assert "https://example.org/beach.png" in printed
