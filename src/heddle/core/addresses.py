"""Tell which internet addresses may be reached on behalf of somebody who only gave us a URL.

A customer's webhook and a provider's link to a result are addresses that others chose. They may lead to the public
internet and nowhere else: not to this machine, not to the network around it, not to the metadata service of a cloud.
The decision is made on the address a socket is about to connect to, never on a name, so that no spelling and no second
answer of a name server changes it. Addresses of ``heddle.toml`` are the operator's own and are not asked about here.
"""

import ipaddress

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the rest is the IPv4 address that is reached


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
        if found.sixtofour is not None or found.teredo is not None or found.is_site_local:
            return False
    return _is_global(found)


def _is_global(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return found.is_global and not found.is_multicast and not found.is_reserved
