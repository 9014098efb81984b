"""Addresses of images: understood, compared with what is allowed after resolution, shown without their secrets."""

import fnmatch
import ipaddress
import re
import socket
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from conf.errors import ReadError
from conf.redaction import SECRETS

WEB = frozenset({"http", "https"})
BUCKETS = {"s3": "s3", "gs": "gs", "az": "az", "azure": "az", "abfs": "az", "abfss": "az"}
"""Scheme as written to the store's."""
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?|\[[0-9a-fA-F:]+\](?::\d{1,5})?")


class Address(NamedTuple):
    """Where an image lies. `scheme`: file, http, https, s3, gs or az; `host`: with its port, or the bucket; `query` only of the web."""

    scheme: str
    host: str
    path: str
    query: str = ""

    @property
    def url(self) -> str:
        """As one text, with its query."""
        return self.path if self.scheme == "file" else urlunsplit((self.scheme, self.host, self.path, self.query, ""))

    @property
    def name(self) -> str:
        """For messages and tables: without a query, which may be a secret."""
        return Path(self.path).name or self.host

    @property
    def is_remote(self) -> bool:
        return self.scheme != "file"


def address_of(href: str) -> Address:
    """What `href` means; raises ReadError `path_not_allowed` for what is neither a plain path nor an address of a known kind."""
    if not href or any(ord(letter) < 32 or ord(letter) == 127 for letter in href) or href.startswith("/vsi"):
        raise _refused(href, "is no plain path or address")
    if "://" not in href and not href.startswith(("dbfs:", "file:")):
        return Address("file", "", href)
    parts = urlsplit(href)
    scheme = parts.scheme.lower()
    if scheme == "file":
        return Address("file", "", _without_host(href, parts.netloc, parts.path))
    if scheme == "dbfs":
        path = _without_host(href, parts.netloc, parts.path)
        return Address("file", "", path if path.startswith("/Volumes/") else f"/dbfs{path}")
    if scheme in BUCKETS:
        return Address(BUCKETS[scheme], _bucket(href, parts.netloc), _key(href))
    if scheme not in WEB:
        raise _refused(href, f"has scheme {scheme}; use a path, https, s3, gs, az, abfss or dbfs")
    if not HOST.fullmatch(parts.netloc):
        raise _refused(href, "has no plain host name")
    if "/../" in f"{parts.path}/" or "%2e%2e" in parts.path.lower():
        raise _refused(href, "leads upwards")
    return Address(scheme, parts.netloc.lower(), parts.path, parts.query)


def _without_host(href: str, host: str, path: str) -> str:
    if host not in ("", "localhost"):
        raise _refused(href, f"names host {host}")
    return path


def _bucket(href: str, netloc: str) -> str:
    """Of `abfss://container@account.dfs.core.windows.net` it is `container@account`."""
    if not re.fullmatch(r"[A-Za-z0-9._@-]+", netloc):
        raise _refused(href, "has no plain bucket name")
    container, at, account = netloc.partition("@")
    return f"{container}@{account.split('.', 1)[0]}" if at else container


def _key(href: str) -> str:
    """The path of an object, of which `#` may be a part; a query that does not sign would be passed over, and so is refused."""
    before, _, query = href.partition("?")
    if urlsplit(without_secrets(f"?{query}")).query:
        raise _refused(href, "has a query, which objects in buckets have not; leave it out")
    path = before.partition("://")[2].partition("/")[2]
    if path and {"", ".", ".."} & set(path.removesuffix("/").split("/")):
        raise _refused(href, "has a name in its path that is empty, . or ..; name the object in full")
    return f"/{path}"


def without_secrets(href: str) -> str:
    """`href` without the parts of its query that sign it: they run out, and belong into no table."""
    if "?" not in href:
        return href
    parts = urlsplit(href)
    kept = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if not SECRETS.match(key)]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(kept), ""))


class Allowed(NamedTuple):
    """What may be opened. `roots`: resolved folders, None: every local path; `hosts`: patterns as in conf/access.py."""

    roots: tuple[str, ...] | None = None
    hosts: tuple[str, ...] = ()

    def check(self, href: str) -> Address:
        """The address of `href`, a local one resolved; raises ReadError `path_not_allowed`. Asks no network."""
        address = address_of(href)
        if address.is_remote:
            self._check_named(address)
            return address
        return address._replace(path=self._resolved(address.path))

    def _resolved(self, path: str) -> str:
        if self.roots is None:
            return path
        real = Path(path).resolve()
        if not any(real.is_relative_to(root) for root in self.roots):
            raise _refused(path, "leads out of the folders of the place's sources; move it there, or add its folder to access.roots")
        return str(real)

    def _check_named(self, address: Address) -> None:
        if not any(matches(address, pattern) for pattern in self.hosts):
            raise ReadError(
                "path_not_allowed", f"{address.name}: {pattern_of(address)} is not among access.hosts; add it there if you trust it"
            )

    def check_host(self, address: Address) -> None:
        """Just before a request: raises ReadError unless the host is named, and by its whole name if it lies in a private network."""
        self._check_named(address)
        if address.scheme in WEB and _host_name(address.host) not in {_host_name(host) for host in self.hosts}:
            _refuse_private(address)


def pattern_of(address: Address) -> str:
    """What names the address' host, or bucket, and no other."""
    return address.host if address.scheme in WEB else f"{address.scheme}://{address.host}"


def matches(address: Address, pattern: str) -> bool:
    """Whether a pattern of conf/access.py names the address' host (any port where it has none), or `s3://bucket` its bucket."""
    if address.scheme not in WEB:
        return fnmatch.fnmatchcase(pattern_of(address), pattern)
    host = address.host if re.search(r":\d+$", pattern) else _host_name(address.host)
    return fnmatch.fnmatchcase(host, pattern.lower())


def _host_name(host: str) -> str:
    return re.sub(r":\d+$", "", host.lower())


def _refuse_private(address: Address) -> None:
    """A public name may lead to a machine inside: a metadata service would answer with keys."""
    try:
        found = socket.getaddrinfo(_host_name(address.host).strip("[]"), None)
    except OSError:
        raise ReadError("network", f"{address.name}: host {address.host} is not known; check the network and the address") from None
    for entry in found:
        number = ipaddress.ip_address(str(entry[4][0]).split("%", 1)[0])
        if not number.is_global:
            raise _refused(
                address.name,
                f"host {address.host} leads to {number}, inside a private network; name the host in full in access.hosts if that is meant",
            )


def _refused(href: str, why: str) -> ReadError:
    """The address without what it may hold of names, passwords and signatures."""
    shown = re.sub(r"//[^/@]*@", "//", without_secrets(href).split("?", 1)[0])
    return ReadError("path_not_allowed", f"{shown[:80]!r} {why}")
