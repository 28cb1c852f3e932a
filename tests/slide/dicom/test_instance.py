"""What a DICOM file says of itself: pydicom is the oracle on made and real slides; lies do no harm."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.sequence import Sequence as Items
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from tests.made_formats.dicom import CODINGS, write_dicom
from tests.made_slides import he_pixels
from wsi_embed.slide.dicom.instance import DicomInstance, dicom_instance, dicom_instances
from wsi_embed.slide.dicom.scan import HEAD

PIXELS = he_pixels(300, 500)


def first(data: Dataset, *names: str) -> Dataset | None:
    """The first item of a sequence within sequences."""
    for name in names:
        items = data.get(name)
        if not items:
            return None
        data = items[0]
    return data


def pair(values: list[float] | None) -> tuple[float, float] | None:
    return (float(values[0]), float(values[1])) if values else None


def by_pydicom(path: Path) -> DicomInstance:
    """The same facts, the slow way."""
    d = dcmread(path)
    measures = first(d, "SharedFunctionalGroupsSequence", "PixelMeasuresSequence")
    measures = measures or first(d, "PerFrameFunctionalGroupsSequence", "PixelMeasuresSequence")
    origin = first(d, "TotalPixelMatrixOriginSequence")
    power = (first(d, "OpticalPathSequence") or Dataset()).get("ObjectiveLensPower")
    compressed = d.file_meta.TransferSyntaxUID.is_encapsulated
    head = next(generate_frames(d.PixelData, number_of_frames=int(d.NumberOfFrames))) if compressed else b""
    return DicomInstance(
        path=path,
        transfer_syntax=str(d.file_meta.TransferSyntaxUID),
        sop_class=str(d.SOPClassUID),
        sop_instance=str(d.SOPInstanceUID),
        series=str(d.SeriesInstanceUID),
        image_type=tuple(d.ImageType),
        label="SpecimenLabelInImage" if d.get("SpecimenLabelInImage") == "YES" else "",
        matrix=(d.TotalPixelMatrixColumns, d.TotalPixelMatrixRows),
        tile=(d.Columns, d.Rows),
        mpp=pair([v * 1000 for v in measures.PixelSpacing[::-1]] if measures else None),
        origin=pair([origin[0x0040072A].value, origin[0x0040073A].value] if origin else None),
        orientation=tuple(map(float, d.ImageOrientationSlide)) if "ImageOrientationSlide" in d else None,
        volume=(d.ImagedVolumeWidth, d.ImagedVolumeHeight) if "ImagedVolumeWidth" in d else None,
        objective_power=power and float(power),
        frames=int(d.NumberOfFrames),
        focal_planes=d.get("TotalPixelMatrixFocalPlanes", 1),
        optical_paths=d.get("NumberOfOpticalPaths", 1),
        samples=d.SamplesPerPixel,
        bits_allocated=d.BitsAllocated,
        bits_stored=d.BitsStored,
        photometric=d.PhotometricInterpretation,
        organization=d.get("DimensionOrganizationType", ""),
        container=d.get("ContainerIdentifier"),
        frame_of_reference=d.get("FrameOfReferenceUID"),
        concatenation=d.get("ConcatenationUID"),
        part=d.get("InConcatenationNumber"),
        frame_offset=d.get("ConcatenationFrameOffsetNumber"),
        frame_head=bytes(head)[:HEAD],
    )


def changed(path: Path, change: Callable[[Dataset], object]) -> Path:
    """A file written anew."""
    data = dcmread(path)
    change(data)
    data.save_as(path)
    return path


@pytest.mark.parametrize("coding", CODINGS)
def test_every_fact_is_what_pydicom_reads(coding: str, tmp_path: Path) -> None:
    profile = np.random.default_rng(0).bytes(1 << 20)
    files = write_dicom(tmp_path, PIXELS, coding, parts=2, mpp=(0.5, 0.25), profile=profile)
    for path in files[:-1]:
        assert dicom_instance(path) == by_pydicom(path)
    assert dicom_instances(files[0]) == [dicom_instance(path) for path in sorted(files)]


@pytest.mark.parametrize("name", ["camelyon_lowres_jpeg.dcm", "camelyon_lowres_jpeg2000.dcm"])
def test_every_fact_of_a_real_slide_is_what_pydicom_reads(shared_slides: Path, name: str) -> None:
    assert dicom_instance(shared_slides / name) == by_pydicom(shared_slides / name)


def place_on_glass(data: Dataset) -> None:
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20.25, -3.5
    data.TotalPixelMatrixOriginSequence = Items([origin])
    data.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    data.ImagedVolumeWidth, data.ImagedVolumeHeight = 0.125, 0.5
    data.ContainerIdentifier, data.FrameOfReferenceUID = "S 12/34", "1.2.3"


def with_ends_marked(data: Dataset) -> None:
    """Give every sequence, and every item, an undefined length."""
    for element in data:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for within in element.value:
                within.is_undefined_length_sequence_item = True
                with_ends_marked(within)


def measured_by_frame(data: Dataset) -> None:
    """Move the spacing from what all frames share to the frames."""
    shared = data.SharedFunctionalGroupsSequence[0]
    for group in data.PerFrameFunctionalGroupsSequence:
        group.PixelMeasuresSequence = shared.PixelMeasuresSequence
    del shared.PixelMeasuresSequence


def with_implicit_private_sequence(data: Dataset) -> None:
    """Add an element of unknown representation, undefined length and implicit contents (PS3.5, 6.2.2)."""
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 12) + struct.pack("<HHI", 9, 0x1010, 4) + b"\0\1\2\3"
    data.add_new(0x00090010, "LO", "SOMEBODY")
    data.add_new(0x00091000, "UN", item)
    data[0x00091000].is_undefined_length = True


@pytest.mark.parametrize("ends", [False, True], ids=["lengths", "end marks"])
@pytest.mark.parametrize("change", [place_on_glass, measured_by_frame, with_implicit_private_sequence])
def test_facts_are_found_wherever_they_may_lie(
    change: Callable[[Dataset], object], ends: bool, tmp_path: Path
) -> None:
    path = write_dicom(tmp_path, PIXELS, tiling="TILED_SPARSE", profile=bytes(1 << 16))[0]
    changed(path, change)
    if ends:
        changed(path, with_ends_marked)
    found = dicom_instance(path)
    assert found == by_pydicom(path)
    assert found.mpp == (0.5, 0.5)
    assert found.origin == ((20.25, -3.5) if change is place_on_glass else None)


@pytest.mark.parametrize(
    ("name", "value", "fact"),
    [
        ("ImagedVolumeWidth", float("nan"), "volume"),
        ("ImagedVolumeWidth", float("inf"), "volume"),
        ("ImageOrientationSlide", [1, 0], "orientation"),
    ],
)
def test_what_is_no_number_is_not_said(name: str, value: object, fact: str, tmp_path: Path) -> None:
    path = changed(write_dicom(tmp_path, PIXELS)[0], place_on_glass)
    found = dicom_instance(changed(path, lambda data: setattr(data, name, value)))
    assert found is not None
    assert getattr(found, fact) is None
    assert found.origin == (20.25, -3.5)


@pytest.mark.parametrize("name", ["TotalPixelMatrixRows", "Columns", "PixelData"])
def test_a_file_without_the_facts_of_a_slide_is_none(name: str, tmp_path: Path) -> None:
    path = write_dicom(tmp_path, PIXELS)[0]
    assert dicom_instance(changed(path, lambda data: delattr(data, name))) is None


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_other_encodings_are_none(syntax: pydicom.uid.UID, tmp_path: Path) -> None:
    path = write_dicom(tmp_path, PIXELS, "none")[0]
    data = dcmread(path)
    data.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, data, enforce_file_format=True, little_endian=None, implicit_vr=None)
    assert dicom_instance(path) is None


def test_what_is_no_dicom_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(bytes(1000))
    assert dicom_instance(path) is None
    assert dicom_instances(path) == []


def test_a_file_cut_short_before_its_pixels_is_none(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, PIXELS, tiling="TILED_SPARSE")[0]
    whole = path.read_bytes()
    pixels = whole.index(b"\xe0\x7f\x10\0OB")
    for length in range(0, pixels, 11):
        path.write_bytes(whole[:length])
        assert dicom_instance(path) is None


@pytest.mark.parametrize("mark", [b"\xfe\xff\0\xe0", b"\x09\0\1\0SQ\0\0"], ids=["items", "sequences"])
def test_sequences_nested_without_end_are_none_at_once(mark: bytes, tmp_path: Path) -> None:
    path = write_dicom(tmp_path, PIXELS)[0]
    head = path.read_bytes()[:132]
    path.write_bytes(head + b"\x09\0\1\0SQ\0\0\xff\xff\xff\xff" + (mark + b"\xff\xff\xff\xff") * 500_000)
    before = time.process_time()
    assert dicom_instance(path) is None
    assert time.process_time() - before < 10


def test_many_frames_are_passed_over_at_once(tmp_path: Path) -> None:
    """Half a million elements with end marks, which one by one take seconds."""
    path = write_dicom(tmp_path, PIXELS, tiling="TILED_SPARSE")[0]
    expected = dicom_instance(changed(path, with_ends_marked))
    data = path.read_bytes()
    start = data.index(struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, 0xFFFFFFFF)) + 12
    end = data.index(struct.pack("<HHIHH", 0xFFFE, 0xE0DD, 0, 0x7FE0, 0x10))
    path.write_bytes(data[:start] + data[start:end] * 20_000 + data[end:])
    before = time.process_time()
    assert dicom_instance(path) == expected
    assert time.process_time() - before < 1


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_file_gives_facts_or_none(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "damaged" / "1_0.dcm"
    if not path.exists():
        write_dicom(path.parent, PIXELS, tiling="TILED_SPARSE")
    damaged = bytearray(path.read_bytes())
    end = damaged.index(b"\xe0\x7f\x10\0OB") + 30
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(132, end))
        damaged[at] = data.draw(st.sampled_from([0, 1, 0x20, 0x7F, 0xFE, 0xFF]))
    broken = folder / "broken.dcm"
    broken.write_bytes(damaged)
    found = dicom_instance(broken)
    if found is not None:
        assert min(*found.matrix, *found.tile) > 0
        assert len(found.frame_head) <= HEAD
