"""ASAP's XML, as ASAP and Camelyon16 write it."""

from __future__ import annotations

import numpy as np
import pytest

from wsi_embed.regions.asap import OtherProgramError, read_asap
from wsi_embed.regions.polygons import Polygon

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


def read(text: str | bytes) -> list[Polygon]:
    return read_asap(text if isinstance(text, bytes) else text.encode()).polygons


def grouped(groups: dict[str, str], *of: str) -> list[Polygon]:
    """Areas of groups, in a file whose groups are parts of others."""
    text = "".join(
        f'<Annotation Name="A" Type="Polygon" PartOfGroup="{group}"><Coordinates>'
        '<Coordinate X="0" Y="0"/><Coordinate X="9" Y="0"/><Coordinate X="9" Y="9"/>'
        "</Coordinates></Annotation>"
        for group in of
    )
    listed = "".join(f'<Group Name="{name}" PartOfGroup="{above}"/>' for name, above in groups.items())
    return read(
        f"<ASAP_Annotations><Annotations>{text}</Annotations>"
        f"<AnnotationGroups>{listed}</AnnotationGroups></ASAP_Annotations>"
    )


def test_a_camelyon_file_is_read_word_by_word() -> None:
    tumour, normal = read(CAMELYON)
    assert (tumour.label, tumour.colour) == ("_0", (0xF4, 0xFA, 0x58))
    assert (normal.label, normal.colour) == ("_2", (0x64, 0xFE, 0x2E))
    assert tumour.rings[0].tolist() == [[51406.3008, 120463], [52376.1016, 120463], [52376.1016, 121500.5]]
    assert normal.rings[0].tolist() == [[1, 2], [3, 2], [3, 4], [1, 4]]
    assert tumour.rings[0].dtype == np.float64


def test_points_come_in_the_order_they_say() -> None:
    points = "".join(f'<Coordinate Order="{i}" X="{i}" Y="{i * i}"/>' for i in (2, 10, 0, 1))
    assert read(one(points=points))[0].rings[0].tolist() == [[0, 0], [1, 1], [2, 4], [10, 100]]


def test_a_decimal_comma_is_read() -> None:
    points = "".join(f'<Coordinate Order="{i}" X="{i},5" Y="0"/>' for i in range(3))
    assert read(one(points=points))[0].rings[0][:, 0].tolist() == [0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    ("orders", "xs"),
    [
        ([0, 0, 0, 0], [0, 1, 2, 3]),
        ([None] * 4, [0, 1, 2, 3]),
        ([1, 2, 3, 4], [0, 1, 2, 3]),
        ([-1, -2, -3, -4], [3, 2, 1, 0]),
        (["3.0", "1.0", "2.0", "0.0"], [3, 1, 2, 0]),
        (["1,5", "0,5", "2,5", "3,5"], [1, 0, 2, 3]),
        ([0, 1, None, 3], [0, 1, 2, 3]),
        (["", "", "", ""], [0, 1, 2, 3]),
    ],
)
def test_equal_and_missing_orders_keep_that_of_the_file(orders: list[object], xs: list[int]) -> None:
    """The points' places differ, which must not decide."""
    said = ["" if order is None else f'Order="{order}"' for order in orders]
    points = "".join(f'<Coordinate X="{x}" Y="{-x}" {order}/>' for x, order in enumerate(said))
    assert read(one(points=points))[0].rings[0][:, 0].tolist() == xs


@pytest.mark.parametrize("name", ["partOfGroup", "PARTOFGROUP", "partofgroup"])
def test_names_of_elements_and_attributes_are_read_in_any_case(name: str) -> None:
    text = one(more='PartOfGroup="Tumor" Color="#ff0000"').replace("PartOfGroup", name)
    for changed in (text, text.lower(), text.upper()):
        (polygon,) = read(changed)
        assert (polygon.label or "").lower() == "tumor"
        assert polygon.colour == (255, 0, 0)


def test_groups_are_parts_of_others() -> None:
    groups = {"Tumor": "None", "Sub": "tumor ", "SubSub": "Sub", "Fold": "Artefact"}
    found = grouped(groups, "SubSub", "sub", "Tumor", "Fold", "Other", "None")
    assert [polygon.classes for polygon in found] == [
        ("SubSub", "Sub", "tumor"),
        ("sub", "tumor"),
        ("Tumor",),
        ("Fold", "Artefact"),
        ("Other",),
        ("A",),
    ]


def test_a_group_in_two_groups_is_certainly_in_none_of_them() -> None:
    text = one(more='PartOfGroup="Fold"') + one(more='PartOfGroup="Tumor"')
    text = text.replace("</ASAP_Annotations><ASAP_Annotations>", "").replace(
        "</ASAP_Annotations>",
        '<AnnotationGroups><Group Name="Tumor" PartOfGroup="Lesion"/>'
        '<Group Name="Artefact" PartOfGroup="Tumor"/>'
        '<Group Name="artefact" PartOfGroup="Stroma"/><Group Name="Fold" PartOfGroup="Artefact"/>'
        '<Group Name="Fold" PartOfGroup="artefact"/></AnnotationGroups></ASAP_Annotations>',
    )
    fold, tumour = read(text)
    assert (fold.classes, fold.unsure) == (("Fold", "Artefact"), ("Tumor", "Stroma", "Lesion"))
    assert (tumour.classes, tumour.unsure) == (("Tumor", "Lesion"), ())


def test_groups_may_lie_within_each_other() -> None:
    """What an element says itself comes first."""
    text = one(more='PartOfGroup="Leaf"') + one(more='PartOfGroup="Other"')
    text = text.replace("</ASAP_Annotations><ASAP_Annotations>", "").replace(
        "</ASAP_Annotations>",
        '<AnnotationGroups><Group Name="Tumor"><Group Name="Mid"><Group Name="Leaf"/></Group></Group>'
        '<Group Name="Tumor"><Group Name="Other" PartOfGroup="Stroma"/></Group></AnnotationGroups>'
        "</ASAP_Annotations>",
    )
    assert [p.classes for p in read(text)] == [("Leaf", "Mid", "Tumor"), ("Other", "Stroma")]


def test_annotations_may_lie_within_a_group() -> None:
    text = one(more="").replace("<Annotation ", '<Group Name="Tumor"><Annotation ')
    (polygon,) = read(text.replace("</Annotation>", "</Annotation></Group>"))
    assert polygon.classes == ("Tumor",)


def test_groups_may_be_nested_without_end() -> None:
    assert read(f"<ASAP_Annotations>{'<Group>' * 50_000}{'</Group>' * 50_000}</ASAP_Annotations>") == []


@pytest.mark.parametrize("orders", [(1, 2, 3, 1), (0, 1, 2, 2, 1), (1, 1, 0, 0)])
def test_an_order_that_occurs_twice_keeps_that_of_the_file_and_is_said(orders: tuple[int, ...]) -> None:
    points = "".join(f'<Coordinate Order="{o}" X="{x}" Y="{x * x}"/>' for x, o in enumerate(orders))
    found = read_asap(one(points=points).encode())
    assert found.polygons[0].rings[0][:, 0].tolist() == list(range(len(orders)))
    assert found.warnings == ("points of 'A' have an Order twice, so they are taken as the file lists them",)


IMAGESCOPE = (
    '<Annotations MicronsPerPixel="0.5"><Annotation Id="1"><Regions><Region Id="1" Type="0"><Vertices>'
    '<Vertex X="0" Y="0" Z="0"/><Vertex X="9" Y="0" Z="0"/><Vertex X="9" Y="9" Z="0"/></Vertices></Region>'
    "</Regions></Annotation></Annotations>"
)
NDP_VIEW = '<annotations><ndpviewstate id="1"><annotation type="freehand"/></ndpviewstate></annotations>'
VOC = "<annotation><object><bndbox><xmin>1</xmin></bndbox></object></annotation>"


@pytest.mark.parametrize(
    ("text", "program"),
    [(IMAGESCOPE, "Aperio ImageScope"), (NDP_VIEW, "Hamamatsu NDP.view"), (VOC, "labelImg")],
)
def test_annotations_of_other_programs_are_called_so(text: str, program: str) -> None:
    with pytest.raises(OtherProgramError, match=rf"annotations of {program}.*; write them as GeoJSON"):
        read(text)


def test_groups_in_a_circle_end() -> None:
    found = grouped({"a": "b", "b": "c", "c": "a", "self": "self"}, "a", "self")
    assert [polygon.classes for polygon in found] == [("a", "b", "c"), ("self",)]


@pytest.mark.parametrize("kind", ["Polygon", "Spline", "Rectangle", "polygon", "POLYGON", " rectangle ", ""])
def test_areas_count(kind: str) -> None:
    assert len(read(one(kind))) == 1


def test_an_annotation_without_a_type_is_an_area() -> None:
    assert len(read(one().replace(' Type="Polygon"', ""))) == 1


@pytest.mark.parametrize("kind", ["Dot", "PointSet", "measurement", "None"])
def test_points_and_lines_do_not_count(kind: str) -> None:
    found = read_asap(one(kind).encode())
    assert (found.polygons, found.left_out) == ([], {kind: 1})


@pytest.mark.parametrize("kind", ["Freehand", "Ellipse", "Polygonn"])
def test_an_unknown_type_is_named(kind: str) -> None:
    found = read_asap(one(kind).encode())
    assert (found.polygons, found.left_out) == ([], {f"{kind} (an unknown type)": 1})


def test_a_click_is_no_area() -> None:
    found = read_asap(one("Spline", points='<Coordinate Order="0" X="1" Y="2"/>').encode())
    assert (found.polygons, found.left_out) == ([], {"Spline of fewer than three points": 1})


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
    (polygon,) = read(one(more=more))
    assert (polygon.label, polygon.colour) == (label, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings(encoding: str) -> None:
    declared = "" if "sig" in encoding else f'<?xml version="1.0" encoding="{encoding}"?>'
    found = read((declared + one(more='PartOfGroup="Tumör"')).encode(encoding))
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
        read(bomb)


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
        (one(points='<Coordinate Order="first" X="1" Y="0"/>' * 3), "could not convert"),
        (one(points='<Coordinate Order="nan" X="1" Y="0"/>' * 3), "an Order of .* is not a finite number"),
        (
            one(points="".join(f'<Coordinate {o} X="1" Y="0"/>' for o in ('Order="2"', "", 'Order="0"'))),
            "some points of annotation 'A' have an Order and others have none",
        ),
    ],
)
def test_what_is_wrong_is_said(content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(content)
