"""Addresses (URLs) that may be fetched: http and https, on hosts that have public internet addresses only."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

PORTS = {"http": 80, "https": 443}
FIRST_FREE_PORT = 1024
"""Lower ports than this, but for those of http and https, are of other services."""
MAX_ADDRESS = 2048
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Resolve = Callable[[str, int], list[str]]


class LinkError(Exception):
    """A picture cannot be fetched from its address.

    Args:
        reason: why, in a few words that are the same for all links of a kind.
        detail: more of it, for this link.
        lasting: whether trying again later would end in the same way.
        wait: seconds to wait that the server asked for; None: trying again at once is of no use.
    """

    def __init__(self, reason: str, detail: str = "", *, lasting: bool, wait: float | None = 0.0) -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.lasting = lasting
        self.wait = wait


class Place(NamedTuple):
    """Where to connect for a URL, checked.

    Attributes:
        scheme: http or https.
        host: name of the host, as in the URL.
        port: port.
        target: path and query.
        addresses: internet addresses of the host; one of them is connected to, and the name is not resolved again.
    """

    scheme: str
    host: str
    port: int
    target: str
    addresses: tuple[str, ...]


def resolved(host: str, port: int) -> list[str]:
    """Return the internet addresses of a host.

    Raises:
        OSError: it cannot be resolved.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: str) -> bool:
    """Tell whether an internet address is public: not private, loopback, link-local, multicast or reserved."""
    try:
        found: Any = ipaddress.ip_address(address)
    except ValueError:  # with the name of an interface, for example
        return False
    if found.version == 6:
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found in _NAT64:
            return is_public(str(ipaddress.ip_address(int(found) & 0xFFFFFFFF)))
        if found.sixtofour is not None or found.teredo is not None or found.is_site_local:
            return False
    refused = (
        found.is_private,
        found.is_loopback,
        found.is_link_local,
        found.is_multicast,
        found.is_reserved,
        found.is_unspecified,
    )
    return bool(found.is_global) and not any(refused)


def checked_place(url: str, *, resolve: Resolve = resolved, allow_private: bool = False) -> Place:
    """Return where to connect for a URL, after all checks.

    Args:
        url: the URL.
        resolve: returns the internet addresses of a host; replaced in tests.
        allow_private: allow any address and port; for tests only.

    Raises:
        LinkError: the scheme is not http or https, the URL is malformed or has a user name, the port is that of
            another service, or the host cannot be resolved or has an address that is not public.
    """
    parts = _parts(url)
    port = parts.port or PORTS[parts.scheme]
    host = parts.hostname or ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError as error:
            raise LinkError("not an address", f"host {host[:80]}", lasting=True) from error
    if not allow_private and port not in PORTS.values() and port < FIRST_FREE_PORT:
        raise LinkError("the port is that of another service", f"port {port}", lasting=True)
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise LinkError("the host cannot be resolved", host[:80], lasting=False) from error
    if not addresses:
        raise LinkError("the host cannot be resolved", host[:80], lasting=False)
    private = next((address for address in addresses if not is_public(address)), None)
    if private is not None and not allow_private:
        # Not for good: a network that asks for a login may say so of any host.
        detail = f"{host[:80]} has the address {private}"
        raise LinkError("the host has an address that is not public", detail, lasting=False, wait=None)
    # What is not plain ASCII is percent-encoded; what is encoded already stays.
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return Place(parts.scheme, host, port, target, tuple(addresses))


def _parts(url: str) -> SplitResult:
    if len(url) > MAX_ADDRESS or any(ord(each) <= 32 or ord(each) == 127 for each in url):
        raise LinkError("not an address", "too long, or with spaces or control characters", lasting=True)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise LinkError("not an address", str(error)[:80], lasting=True) from error
    if parts.scheme not in PORTS:
        raise LinkError("not http or https", parts.scheme[:20], lasting=True)
    if not parts.hostname or parts.port == 0:
        raise LinkError("not an address", "no host, or port 0", lasting=True)
    if "@" in parts.netloc or "\\" in parts.netloc:
        raise LinkError("an address with a user name", lasting=True)
    return parts
