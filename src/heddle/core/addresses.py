"""Tell which internet addresses may be reached on behalf of somebody who only gave us a URL.

A customer's webhook and a provider's link to a result are addresses that others chose. They may lead to the public
internet and nowhere else: not to this machine, not to the network around it, not to the metadata service of a cloud.
The decision is made on the address a socket is about to connect to, never on a name, so that no spelling and no second
answer of a name server changes it. Addresses of ``heddle.toml`` are the operator's own and are not asked about here.
"""

import ipaddress
import re
from typing import Final

URL_CHARACTERS_MAX: Final = 2_000
PORTS: Final = frozenset({"", "80", "443"})
NOT_PUBLIC: Final = (
    "must be an http or https address on the public internet, such as https://example.com/hooks: "
    "on port 80 or 443, without user information, fragment or characters that are not ASCII"
)
"""The one sentence for every address that is refused: it tells nothing about what is where."""
NOT_A_URL: Final = "must be an http or https address, such as https://example.com/hooks"

# RFC 3986 without what programs read in more than one way: backslashes, spaces, quotes, anything that is not ASCII.
_URL: Final = re.compile(r"(https?)://([^/?#@\\]+)(?:[/?][!$-;=?-\[\]_a-z~]*)?\Z", re.IGNORECASE)
_PLACE: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?\Z")
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z"
)
# Names that only an inside answers to: RFC 6761 and 6762, RFC 8375, the draft and the habit of private networks.
_INSIDE: Final = frozenset(
    "alt arpa corp home intern internal intranet invalid lan local localdomain localhost onion private test".split()  # noqa: SIM905
)

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the rest is the IPv4 address that is reached
_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291: all that is assigned for the internet so far
# What ``ipaddress`` of some Python takes for public and the internet does not: IANA's special-purpose registries, read
# 2026-11-29, and one address at which a cloud serves its machines' secrets.
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and Alibaba's metadata service
        "168.63.129.16/32",  # Azure's platform, to its own machines only
        "192.0.0.0/24",  # protocol assignments, and Oracle's metadata service
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "240.0.0.0/4",
        "2001::/23",  # Teredo, ORCHID, benchmarking and other protocol assignments
        "2001:db8::/32",
        "2002::/16",  # 6to4: leads through strangers' relays to the IPv4 address inside
        "3fff::/20",  # documentation, RFC 9637
    )
)


def is_public(address: str) -> bool:
    """Tell whether an IPv4 or IPv6 address is one of the public internet.

    An address that stands for an IPv4 address (v4-mapped, NAT64) is public when that one is; other ways of carrying
    one (6to4, Teredo, v4-compatible) lead through strangers' relays and are not. Text that is no address is not public.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return _is_global(found.ipv4_mapped)
        if found in _NAT64:
            return _is_global(ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF))
        if found not in _UNICAST:
            return False
    return _is_global(found)


def url_problem(url: str, *, is_private_allowed: bool) -> str | None:
    """Tell what keeps a URL from being called on behalf of a stranger, by its form alone; None when nothing does.

    Names are not resolved here: where they lead is asked when a socket is about to connect. What looks like a number is
    an address only in its usual form, since other readers take ``0x7f.1`` or ``2130706433`` for one, too.
    is_private_allowed: any address, name and port.
    """
    refused = NOT_A_URL if is_private_allowed else NOT_PUBLIC
    found = _URL.match(url) if len(url) <= URL_CHARACTERS_MAX else None
    place = None if found is None else _PLACE.match(found[2])
    if place is None:
        return refused
    host, port = place[1].lower(), place[2] or ""
    if int(port or 0) > 65_535 or (port and int(port) == 0):
        return refused
    if host.startswith("["):
        return None if is_private_allowed or (port in PORTS and is_public(host[1:-1])) else refused
    name = host.removesuffix(".")
    last = name.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        if not _is_ipv4(name):
            return refused
        return None if is_private_allowed or (port in PORTS and is_public(name)) else refused
    if _NAME.match(name) is None:
        return refused
    if is_private_allowed:
        return None
    return None if port in PORTS and "." in name and last not in _INSIDE else refused


def _is_ipv4(text: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(text)) == text
    except ValueError:
        return False


def _is_global(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    is_never = any(found in network for network in _NEVER)
    return found.is_global and not found.is_multicast and not found.is_reserved and not is_never
