"""Slides are found elsewhere as in a folder: the folder is the oracle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.made_formats.dicom import write_dicom
from tests.made_formats.hamamatsu import write_vms
from tests.made_formats.mirax import write_mirax
from tests.made_formats.ome_zarr import Version, write_ome_zarr, zipped
from tests.made_slides import dicom_bytes, he_pixels
from tests.storage.conftest import put
from tests.storage.server import Server
from wsi_embed.errors import RemoteError, SlideError, UsageError
from wsi_embed.inputs.remote_slides import RemoteSlide
from wsi_embed.inputs.shards import shard
from wsi_embed.inputs.slides import SlideInput, find_slides
from wsi_embed.slide.fingerprint import slide_files
from wsi_embed.storage import Address, objects


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides of one and of many files, and what is none."""
    folder, pixels = tmp_path_factory.mktemp("tree"), he_pixels(256, 512)
    for name in (
        "one.svs",
        "sub/two.tif",
        "sub/deep er/c%20x.ndpi",
        "sub/._two.tif",
        "notes.txt",
        "old.kfb",
        "o.vsi",
        "_o_/stack1/frame_t.ets",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    for name in ("mirax", "vms", "dicom"):
        (folder / name).mkdir()
    write_mirax(folder / "mirax/m.mrxs", pixels)
    write_vms(folder / "vms/v.vms", pixels)
    (folder / "vms/other.jpg").write_bytes(b"a picture")
    write_dicom(folder / "dicom", pixels)
    (folder / "dicom" / "z.dcm").write_bytes(dicom_bytes("1.2.3"))
    return folder


def facts(items: list[SlideInput]) -> list[tuple[str, str, int]]:
    return [(item.slide_id, item.name, item.size) for item in items]


def test_they_are_those_of_the_folder(tree: Path, bucket: Address) -> None:
    put(tree, bucket / "in")
    found = find_slides([bucket / "in"], remote=True)
    here = find_slides([tree])
    assert facts(found) == facts(here)
    for item, local in zip(found, here, strict=True):
        assert item.remote is not None
        names = [one.address.key.removeprefix("in/") for one in item.remote.objects]
        assert sorted(names) == sorted(p.relative_to(tree).as_posix() for p in slide_files(local.path))


def test_one_given_by_itself_has_all_its_files(tree: Path, bucket: Address, server: Server) -> None:
    put(tree, bucket / "in")
    for item in find_slides([bucket / "in"], remote=True):
        assert item.remote is not None
        (alone,) = find_slides([str(item.remote.address)], remote=True)
        assert alone.remote is not None
        assert set(alone.remote.objects) == set(item.remote.objects)
        assert (alone.name, alone.size) == (item.remote.address.name, item.size)


def test_shares_are_those_of_the_folder(tree: Path, bucket: Address) -> None:
    put(tree, bucket / "in")
    for index in range(3):
        mine = shard(find_slides([bucket / "in"], remote=True), index, 3)
        assert facts(mine) == facts(shard(find_slides([tree]), index, 3))


def test_a_manifest_there_names_what_lies_beside_it(bucket: Address, tmp_path: Path) -> None:
    rows = ["sub/a.svs,S-1,P1,0.25,roi/a.geojson", f"{bucket}b.svs,,P2,,", "../c.svs,,,,"]
    text = "\n".join(["path,slide_id,patient,mpp,roi", *rows])
    objects.write(bucket / "in/list.csv", text.encode())
    a, b, c = find_slides([bucket / "in/list.csv"], remote=True)
    assert (a.slide_id, a.name, a.patient, a.mpp) == ("S-1", "sub/a.svs", "P1", 0.25)
    assert a.remote == RemoteSlide(bucket / "in/sub/a.svs", bucket / "in/roi/a.geojson")
    assert (b.slide_id, b.name, b.remote) == ("b", "b.svs", RemoteSlide(bucket / "b.svs"))
    assert (c.slide_id, c.remote) == ("c", RemoteSlide(bucket / "c.svs"))


def test_a_manifest_here_names_slides_there(bucket: Address, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"path\n{bucket}in/b.svs\nhere.svs\n")
    b, here = find_slides([tmp_path / "list.csv"], remote=True)
    assert b.remote == RemoteSlide(bucket / "in/b.svs")
    assert (here.path, here.remote) == (tmp_path / "here.svs", None)


@pytest.mark.parametrize(
    ("key", "content", "says"),
    [
        ("m.csv", b"a,b\n1,2\n", r"s3://.*/m.csv: a manifest needs a column `path`"),
        ("f.zarr/zarr.json", b"{}", "is a store"),
        ("empty/notes.txt", b"", "no slides found in s3://"),
    ],
)
def test_what_holds_no_slides(bucket: Address, key: str, content: bytes, says: str) -> None:
    objects.write(bucket / key, content)
    where = bucket / key if key.endswith(".csv") else (bucket / key).parent
    with pytest.raises(UsageError, match=says):
        find_slides([where], remote=True)


def test_a_manifest_that_is_not_there(bucket: Address) -> None:
    with pytest.raises(UsageError, match="there is no such object"):
        find_slides([bucket / "gone.csv"], remote=True)


def test_two_with_one_id(bucket: Address) -> None:
    with pytest.raises(UsageError, match=r"two slides have the id 'a': s3://.*/x/a.svs and s3://.*/y/a.svs"):
        find_slides([bucket / "x/a.svs", bucket / "y/a.svs"], remote=True)
    assert len(find_slides([bucket / "x/a.svs", bucket / "x/a.svs"], remote=True)) == 1


def test_who_does_not_fetch_is_not_given_any(bucket: Address) -> None:
    with pytest.raises(UsageError, match="only embed and tile fetch slides"):
        find_slides([bucket / "a.svs"])


def test_a_listing_that_fails_is_no_empty_folder(bucket: Address, server: Server) -> None:
    objects.write(bucket / "in/a.svs", b"x")
    with server.failing(f"GET /{bucket.host}", "500"), pytest.raises(RemoteError):
        find_slides([bucket / "in"], remote=True)


def test_one_that_is_not_there(bucket: Address) -> None:
    with pytest.raises(SlideError, match="there is no such object; check the address"):
        _ = RemoteSlide(bucket / "gone.svs").objects
    (item,) = find_slides([bucket / "gone.svs"], remote=True)
    assert item.size == 0


def test_a_web_server_does_not_list() -> None:
    with pytest.raises(SlideError, match="a web server does not list them"):
        _ = RemoteSlide(Address("https", "example.org", "a.mrxs")).objects


def test_a_series_named_late_is_found(bucket: Address) -> None:
    """Only the first part is read at first."""
    late = dicom_bytes("9.9")
    text = b"\x08\x00\x05\x00UT\x00\x00" + (200_000).to_bytes(4, "little") + bytes(200_000)
    for name in ("a.dcm", "b.dcm"):
        objects.write(bucket / "d" / name, late[:132] + text + late[132:])
    assert len(find_slides([bucket / "d"], remote=True)) == 1


@pytest.mark.parametrize("name", ["2.dicom", "0.ima", "2", "1.2.840.3"])
def test_the_files_of_a_series_are_found_under_names_beside_dcm(name: str, bucket: Address) -> None:
    objects.write(bucket / "d/1.dcm", dicom_bytes("9.9"))
    for other in (name, "notes", "x.img"):
        content = dicom_bytes("9.9", b"more") if other == name else b"no DICOM"
        objects.write(bucket / "d" / other, content)
    objects.write(bucket / "e/1.ima", dicom_bytes("9.9"))
    (item,) = find_slides([bucket / "d"], remote=True)
    assert item.remote is not None
    assert {one.address.name for one in item.remote.objects} == {"1.dcm", name}
    (alone,) = find_slides([bucket / "d/1.dcm"], remote=True)
    assert alone.remote is not None
    assert {one.address.name for one in alone.remote.objects} == {"1.dcm", name}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_zarr_is_one_slide_and_not_searched(bucket: Address, tmp_path: Path, version: Version) -> None:
    folder = write_ome_zarr(tmp_path / "in/sub/a.zarr", he_pixels(300, 300), version)
    write_ome_zarr(folder / "labels/cells", he_pixels(300, 300), version)
    (folder / "0/1.dcm").write_bytes(dicom_bytes("1.2.3"))
    zipped(folder, tmp_path / "in/b.ozx")
    put(tmp_path / "in", bucket / "in")
    store = json.dumps({"zarr_format": 3, "attributes": {"format_version": 1}}).encode()
    for key in ("in/f.zarr/zarr.json", "in/f.zarr/s/zarr.json"):
        objects.write(bucket / key, store)
    found, here = find_slides([bucket / "in"], remote=True), find_slides([tmp_path / "in"])
    assert [item.name for item in found] == ["b.ozx", "sub/a.zarr"]
    assert facts(found) == facts(here)
    objects.write(bucket / "in/list.csv", b"path\nsub/a.zarr\n")
    (alone,) = find_slides([bucket / "in/sub/a.zarr"], remote=True)
    (listed,) = find_slides([bucket / "in/list.csv"], remote=True)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in slide_files(folder))
    for item in (found[1], alone, listed):
        assert item.remote is not None
        assert item.remote.address == bucket / "in/sub/a.zarr"
        assert [one.address.key for one in item.remote.objects] == files
    with pytest.raises(UsageError, match="is a store, not a folder of slides"):
        find_slides([bucket / "in/f.zarr"], remote=True)


def test_a_folder_that_is_no_ome_zarr_is_no_slide(bucket: Address) -> None:
    objects.write(bucket / "in/f.zarr/zarr.json", b"{}")
    with pytest.raises(SlideError, match=r"in/f\.zarr: there is no such object; check the address"):
        _ = RemoteSlide(bucket / "in/f.zarr").objects
