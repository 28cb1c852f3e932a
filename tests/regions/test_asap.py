"""ASAP's XML, as ASAP and Camelyon16 write it."""

from __future__ import annotations

import numpy as np
import pytest

from wsi_embed.regions.asap import read_asap

# the form of a Camelyon16 file (tumor_001.xml)
CAMELYON = """<?xml version="1.0"?>
<ASAP_Annotations>
\t<Annotations>
\t\t<Annotation Name="Annotation 0" Type="Polygon" PartOfGroup="_0" Color="#F4FA58">
\t\t\t<Coordinates>
\t\t\t\t<Coordinate Order="0" X="51406.3008" Y="120463" />
\t\t\t\t<Coordinate Order="1" X="52376.1016" Y="120463" />
\t\t\t\t<Coordinate Order="2" X="52376.1016" Y="121500.5" />
\t\t\t</Coordinates>
\t\t</Annotation>
\t\t<Annotation Name="Annotation 1" Type="Spline" PartOfGroup="_2" Color="#64FE2E">
\t\t\t<Coordinates>
\t\t\t\t<Coordinate Order="0" X="1" Y="2" />
\t\t\t\t<Coordinate Order="1" X="3" Y="2" />
\t\t\t\t<Coordinate Order="2" X="3" Y="4" />
\t\t\t\t<Coordinate Order="3" X="1" Y="4" />
\t\t\t</Coordinates>
\t\t</Annotation>
\t</Annotations>
\t<AnnotationGroups>
\t\t<Group Name="_0" PartOfGroup="None" Color="#00ff00">
\t\t\t<Attributes />
\t\t</Group>
\t\t<Group Name="_2" PartOfGroup="None" Color="#ff0000">
\t\t\t<Attributes />
\t\t</Group>
\t</AnnotationGroups>
</ASAP_Annotations>
"""


def one(kind: str = "Polygon", points: str | None = None, more: str = 'PartOfGroup="Tumor"') -> str:
    points = points or "".join(
        f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate([(0, 0), (9, 0), (9, 9)])
    )
    return (
        f'<ASAP_Annotations><Annotations><Annotation Name="A" Type="{kind}" {more}>'
        f"<Coordinates>{points}</Coordinates></Annotation></Annotations></ASAP_Annotations>"
    )


def test_a_camelyon_file_is_read_word_by_word() -> None:
    tumour, normal = read_asap(CAMELYON.encode())
    assert (tumour.label, tumour.colour) == ("_0", (0xF4, 0xFA, 0x58))
    assert (normal.label, normal.colour) == ("_2", (0x64, 0xFE, 0x2E))
    assert tumour.rings[0].tolist() == [[51406.3008, 120463], [52376.1016, 120463], [52376.1016, 121500.5]]
    assert normal.rings[0].tolist() == [[1, 2], [3, 2], [3, 4], [1, 4]]
    assert tumour.rings[0].dtype == np.float64


def test_points_come_in_the_order_they_say() -> None:
    points = "".join(f'<Coordinate Order="{i}" X="{i}" Y="{i * i}"/>' for i in (2, 10, 0, 1))
    assert read_asap(one(points=points).encode())[0].rings[0].tolist() == [[0, 0], [1, 1], [2, 4], [10, 100]]


def test_a_decimal_comma_is_read() -> None:
    points = "".join(f'<Coordinate Order="{i}" X="{i},5" Y="0"/>' for i in range(3))
    assert read_asap(one(points=points).encode())[0].rings[0][:, 0].tolist() == [0.5, 1.5, 2.5]


@pytest.mark.parametrize("kind", ["Polygon", "Spline", "Rectangle"])
def test_areas_count(kind: str) -> None:
    assert len(read_asap(one(kind).encode())) == 1


@pytest.mark.parametrize("kind", ["Dot", "PointSet", "Measurement", "None"])
def test_points_and_lines_do_not_count(kind: str) -> None:
    assert read_asap(one(kind).encode()) == []


def test_a_click_is_no_area() -> None:
    assert read_asap(one(points='<Coordinate Order="0" X="1" Y="2"/>').encode()) == []


@pytest.mark.parametrize(
    ("more", "label"),
    [
        ('PartOfGroup="Tumor"', "Tumor"),
        ('PartOfGroup="None"', "A"),
        ("", "A"),
        ('PartOfGroup="metastases" Color="blue"', "metastases"),
    ],
)
def test_the_class_is_the_group_or_else_the_name(more: str, label: str) -> None:
    (polygon,) = read_asap(one(more=more).encode())
    assert (polygon.label, polygon.colour) == (label, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings(encoding: str) -> None:
    declared = "" if "sig" in encoding else f'<?xml version="1.0" encoding="{encoding}"?>'
    found = read_asap((declared + one(more='PartOfGroup="Tumör"')).encode(encoding))
    assert found[0].label == "Tumör"


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><ASAP_Annotations>&j;</ASAP_Annotations>"
)
FILE = '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><ASAP_Annotations>&y;</ASAP_Annotations>'


@pytest.mark.parametrize("bomb", [LAUGHS.encode(), LAUGHS.encode("utf-16"), FILE.encode()])
def test_entities_are_refused_before_they_are_read(bomb: bytes) -> None:
    with pytest.raises(ValueError, match="document type"):
        read_asap(bomb)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "broken XML"),
        ("<ASAP_Annotations>", "broken XML"),
        (CAMELYON[:500], "broken XML"),
        ('<Annotations MicronsPerPixel="0.25"/>', "root is <Annotations>"),
        (one(points='<Coordinate Order="0" X="1"/>' * 3), "no Y"),
        (one(points='<Coordinate Order="0" X="1.2.3" Y="0"/>' * 3), "could not convert"),
        (one(points='<Coordinate Order="0" X="nan" Y="0"/>' * 3), "not a finite number"),
        (one(points='<Coordinate Order="0" X="inf" Y="0"/>' * 3), "not a finite number"),
        (one(points='<Coordinate Order="first" X="1" Y="0"/>' * 3), "invalid literal"),
    ],
)
def test_what_is_wrong_is_said(content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_asap(content.encode())
