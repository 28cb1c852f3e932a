from __future__ import annotations

import posixpath
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_embed.errors import UsageError
from wsi_embed.storage import Address, is_address, location

part = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text not in (".", "..")
)


@settings(max_examples=50)
@given(st.lists(part, min_size=1, max_size=4))
def test_its_parts_are_those_of_a_path(parts: list[str]) -> None:
    key = "/".join(parts)
    address, path = location(f"s3://bucket/{key}"), PurePosixPath(key)
    assert isinstance(address, Address)
    assert str(address) == f"s3://bucket/{key}"
    assert (address.name, address.stem, address.suffix) == (path.name, path.stem, path.suffix)
    assert address.parent / address.name == address


@settings(max_examples=50)
@given(st.lists(st.one_of(part, st.sampled_from(["..", ".", ""])), max_size=5))
def test_what_is_relative_to_it_is_found_as_in_a_folder(parts: list[str]) -> None:
    relative = "/".join(parts).lstrip("/")
    expected = posixpath.normpath(posixpath.join("/a/b", relative)).strip("/")
    assert (Address("gs", "bucket", "a/b") / relative).key == expected


def test_a_path_stays_a_path() -> None:
    assert location("slides/a.svs") == Path("slides/a.svs")
    assert location(Path("/s3/a.svs")) == Path("/s3/a.svs")
    assert not is_address("C:/slides/a.svs")
    assert not is_address("s3/a.svs")


def test_an_address_that_lost_a_slash_is_no_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for lost in (Path("s3://bucket/f.zarr"), "GS:/bucket/f.zarr", Path("https://host/a.svs")):
        with pytest.raises(
            UsageError, match=r"an address has two slashes; give it as text, (s3|gs|https)://"
        ):
            location(lost)
    (tmp_path / "s3:" / "bucket").mkdir(parents=True)
    assert location(Path("s3:/bucket")) == Path("s3:/bucket")  # a folder that is there


def test_a_web_address_is_decoded() -> None:
    assert location("HTTPS://example.org:8443/a%20b/c.svs") == Address(
        "https", "example.org:8443", "a b/c.svs"
    )


def test_a_key_on_object_storage_is_taken_as_it_is() -> None:
    assert location("s3://b/a%20b?c#d.svs") == Address("s3", "b", "a%20b?c#d.svs")


@pytest.mark.parametrize(
    "text",
    ["s3://", "s3:///key", "az://container/key", "https://user:secret@example.org/a.svs",
     "https://example.org/a.svs?X-Amz-Signature=secret", "s3://secret@bucket/a.svs"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_repeating_a_secret(text: str) -> None:
    with pytest.raises(UsageError) as error:
        location(text)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
