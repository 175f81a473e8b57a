"""A gateway dies in the middle of a paid call: who repeats under their key is given the one answer, paid once."""

import concurrent.futures
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator

import openai
import pytest

from heddle.client import keys
from tests.fault import harness, programs, vendor

ASK = [{"role": "user", "content": "hello"}]


class Gateway:
    """One `heddle gateway` process of an installation."""

    def __init__(self, site: harness.Site, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = site.folder / f"gateway-{self.port}.log"
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "heddle.cli", "gateway", "--name", f"gateway-{self.port}"],
                env=site.environment({"HEDDLE_GATEWAY_PORT": str(self.port), **environment}),
                stdout=file,
                stderr=file,
                cwd=site.folder,
            )
        programs.until(lambda: "gateway.listening" in self.log.read_text(), what=f"the gateway opens; see {self.log}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def kill(self) -> None:
        """Kill -9 and wait until it is gone."""
        self.process.kill()
        self.process.wait(timeout=programs.WAIT_S)


@pytest.fixture
def key(site: harness.Site) -> str:
    made = keys.new_key()
    site.doors.create_api_key(
        tenant="default", name=f"gateway {uuid.uuid4()}", key_hash=keys.key_hash(made),
        scopes=frozenset({"read", "write"}), expires_at=None,
    )  # fmt: skip
    return made


@pytest.fixture
def gateways(site: harness.Site) -> Iterator[list[Gateway]]:
    made: list[Gateway] = []
    yield made
    for each in made:
        each.kill()


def ask(gateway: Gateway, key: str, named: str) -> str:
    """Ask as a customer does; repeats are this test's own."""
    with openai.OpenAI(base_url=gateway.url, api_key=key, max_retries=0, timeout=programs.WAIT_S) as client:
        answer = client.chat.completions.create(
            model="talk",
            messages=ASK,
            extra_headers={"Idempotency-Key": named},  # type: ignore[arg-type]
        )
    return str(answer.choices[0].message.content)


def test_gateway_when_it_is_killed_in_a_paid_call_then_a_repeat_has_the_one_answer_paid_once(
    site: harness.Site, key: str, gateways: list[Gateway]
) -> None:
    with vendor.open_vendor(has_keys=True) as shop, concurrent.futures.ThreadPoolExecutor() as pool:
        site.configure(vendor.endpoint("shop", shop.url, model="talk", has_keys=True))
        gateways.append(Gateway(site))
        named = uuid.uuid4().hex
        first = pool.submit(ask, gateways[0], key, named)
        programs.until(lambda: shop.payments, what="the vendor is paid")

        gateways[0].kill()
        lost = first.exception(timeout=programs.WAIT_S)
        gateways.append(Gateway(site))
        second = ask(gateways[1], key, named)
        third = ask(gateways[1], key, named)

        assert isinstance(lost, openai.APIConnectionError)
        assert second == third == "answer 1 to hello"
        assert len(shop.payments) == 1
        assert site.value("select count(*) from heddle_run where workflow = 'model:talk'") == 1
        charged = "select sum(amount_nano_usd) from heddle_ledger where kind = 'charge'"
        assert site.value(charged) == programs.PRICE_NANO_USD
        assert site.value("select cost_nano_usd from heddle_run") == programs.PRICE_NANO_USD
        site.until_quiet()


def test_gateway_when_it_is_killed_and_the_vendor_can_be_asked_nothing_then_a_repeat_is_told_and_pays_nothing(
    site: harness.Site, key: str, gateways: list[Gateway]
) -> None:
    with vendor.open_vendor(has_keys=False) as shop, concurrent.futures.ThreadPoolExecutor() as pool:
        site.configure(vendor.endpoint("stall", shop.url, model="talk", has_keys=False))
        gateways.append(Gateway(site, HEDDLE_UNKNOWN_AT_MOST_S="1"))
        named = uuid.uuid4().hex
        first = pool.submit(ask, gateways[0], key, named)
        programs.until(lambda: shop.payments, what="the vendor is paid")

        gateways[0].kill()
        first.exception(timeout=programs.WAIT_S)
        gateways.append(Gateway(site, HEDDLE_UNKNOWN_AT_MOST_S="1"))
        with pytest.raises(openai.APIStatusError) as caught:
            ask(gateways[1], key, named)

        assert caught.value.status_code == 504
        assert caught.value.code == "outcome_unknown"
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert len(shop.payments) == 1


def test_gateway_when_it_is_asked_to_leave_then_open_requests_have_their_answers_first(
    site: harness.Site, key: str, gateways: list[Gateway]
) -> None:
    with vendor.open_vendor(has_keys=True) as shop, concurrent.futures.ThreadPoolExecutor() as pool:
        site.configure(vendor.endpoint("shop", shop.url, model="talk", has_keys=True))
        gateways.append(Gateway(site))
        asked = pool.submit(ask, gateways[0], key, uuid.uuid4().hex)
        programs.until(lambda: shop.payments, what="the vendor is paid")

        gateways[0].process.terminate()

        assert asked.result(timeout=programs.WAIT_S) == "answer 1 to hello"
        assert gateways[0].process.wait(timeout=programs.WAIT_S) == 0
