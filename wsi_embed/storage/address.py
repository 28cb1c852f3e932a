"""Remote addresses: `s3://bucket/key`, `gs://bucket/key`, `https://server/path`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument

BUCKETS = ("s3", "gs")
WEB = ("http", "https")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What `pathlib` makes of an address.
_ONE_SLASH = re.compile(rf"({'|'.join((*BUCKETS, *WEB))}):/(?!/)", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """Address of a remote object, or of the objects below it. Attributes are named as those of a path.

    Attributes:
        scheme: `s3`, `gs`, `http` or `https`.
        host: Bucket or web server.
        key: Key or path, without leading and trailing slash; empty for a whole bucket.
    """

    scheme: str
    host: str
    key: str

    @property
    def name(self) -> str:
        """Last part of the key, or the host."""
        return self.key.rpartition("/")[2] or self.host

    @property
    def stem(self) -> str:
        """Last part, without suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """Suffix of the last part, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Address:
        """Address of the folder that contains it."""
        return Address(self.scheme, self.host, self.key.rpartition("/")[0])

    @property
    def listed(self) -> bool:
        """Whether the server supports listing and writing; web servers only serve files."""
        return self.scheme in BUCKETS

    def __truediv__(self, relative: str) -> Address:
        parts = self.key.split("/") if self.key else []
        for part in relative.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        return Address(self.scheme, self.host, "/".join(parts))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}/{self.key}"


Location = Path | Address


def is_address(text: str | Path) -> bool:
    """Return whether a text has the form of an address: `scheme://...`."""
    return isinstance(text, str) and _SCHEME.match(text) is not None


def location(text: str | Path | Address) -> Location:
    """Convert a text to a path or an address.

    Raises:
        UsageError: If the text is empty or contains NUL, or the address has an unknown scheme, contains
            credentials or has lost a slash as a `Path`.
    """
    if isinstance(text, Address):
        return text
    if not str(text):
        raise UsageError("a path is empty", remedy="the current folder is `.`")
    if "\0" in str(text):
        raise UsageError("a path contains a NUL character", remedy="correct it")
    if is_address(text):
        return parse_address(str(text))
    if (lost := _ONE_SLASH.match(str(text))) and not Path(text).exists():
        scheme = lost[1].lower()
        raise UsageError(
            f"{scheme}:/...: an address has two slashes", remedy=f"give it as text, {scheme}://..."
        )
    return Path(text)


def local_folder(out: str | Path | Address, what: str) -> Path:
    """Return the path of an output folder.

    Args:
        out: Folder that the user gave.
        what: Plural name of the files that are written into it.

    Raises:
        UsageError: If it is not on this machine.
    """
    where = location(out)
    if isinstance(where, Address):
        raise UsageError(
            f"{what} go into a folder of this machine",
            where=argument("out", where),
            remedy="copy them from there",
        )
    return where


def parse_address(text: str) -> Address:
    """Parse an address.

    Raises:
        UsageError: As for `location`; the message never repeats a possible secret.
    """
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    host, _, key = rest.partition("/")
    if scheme not in BUCKETS + WEB or not host:
        raise UsageError(
            f"{scheme}://...: an address is s3://BUCKET/KEY, gs://BUCKET/KEY or http(s)://SERVER/PATH"
        )
    if "@" in host:
        raise UsageError(
            f"{scheme}://...: no credentials in an address, everybody sees them", remedy="see docs/cloud.md"
        )
    if scheme in WEB:
        if "#" in rest:  # a fragment may be a secret, and is never sent to a server
            raise UsageError(
                f"{scheme}://{re.split('[#?]', host)[0]}/...: addresses with a fragment (#...) are not taken",
                remedy="write %23 for a # in a name",
            )
        if "?" in host:
            raise UsageError(
                f"{scheme}://{host.partition('?')[0]}/...: addresses with a query (?...) are not taken"
            )
        if "?" in key:  # the signature of a presigned address is a credential
            raise UsageError(
                f"{scheme}://{host}/...: addresses with a query (?...) are not taken",
                remedy="instead of a presigned one give the object's s3:// or gs:// address, and "
                "credentials in the environment",
            )
        key = unquote(key)
    return Address(scheme, host, "") / key
