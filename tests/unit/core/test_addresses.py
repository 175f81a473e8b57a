"""Addresses that others chose: the public internet and nothing else."""

import pytest

from heddle.core import addresses
from tests import hostile_urls


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808"],
)
def test_address_when_of_the_internet_then_public(address: str) -> None:
    assert addresses.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "198.18.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "2001:db8::1",
        "fec0::1",
        "168.63.129.16",
        "192.0.0.192",
        "192.88.99.1",
        "100::1",
        "3fff::1",
        "5f00::1",
        "2001::1",
        "2001:20::1",
        "64:ff9b::a9fe:a9fe",
        "1::1",
        "localhost",
        "",
        "2130706433",
        "0x7f.1",
    ],
)
def test_address_when_inside_or_none_then_not_public(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize("url", hostile_urls.BY_FORM)
def test_url_when_hostile_by_its_form_then_it_is_refused_with_the_one_sentence(url: str) -> None:
    assert addresses.url_problem(url, is_private_allowed=False) == addresses.NOT_PUBLIC


@pytest.mark.parametrize("url", hostile_urls.LEGITIMATE)
def test_url_when_legitimate_then_nothing_is_in_its_way(url: str) -> None:
    assert addresses.url_problem(url, is_private_allowed=False) is None


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/hooks", "http://localhost:9000/", "https://[::1]:8443/x", "http://receiver/hooks"]
)
def test_url_when_private_ones_are_allowed_then_this_machine_is_taken(url: str) -> None:
    assert addresses.url_problem(url, is_private_allowed=True) is None


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/", "http://user@127.0.0.1/", "http://127.0.0.1:70000/", "http://127.0.0.1/#x", "http://0x7f.1/"],
)
def test_url_when_it_is_none_then_it_is_refused_also_where_private_ones_are_allowed(url: str) -> None:
    assert addresses.url_problem(url, is_private_allowed=True) == addresses.NOT_A_URL


def test_corpus_then_it_has_as_many_as_the_bar_asks() -> None:
    assert len(set(hostile_urls.BY_FORM)) + len(hostile_urls.BY_ADDRESS) >= 60
    assert len(set(hostile_urls.LEGITIMATE)) >= 20
