from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.regions.test_asap import IMAGESCOPE
from tests.regions.test_geojson import POLYGON, of
from wsi_embed.errors import NoRegionsError, SlideError, UsageError
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.regions import Polygon, RegionRules, Regions, check_rules, read_regions, slide_regions


def annotated(folder: Path, *labels: str | None) -> Path:
    path = folder / "s.geojson"
    path.write_text(
        json.dumps([of(POLYGON, **({"classification": {"name": n}} if n else {})) for n in labels])
    )
    return path


def labels(polygons: list[Polygon] | None) -> list[str | None] | None:
    return None if polygons is None else [p.label for p in polygons]


def chosen(path: Path, **rules: Any) -> Regions:
    return read_regions(path, RegionRules(**rules))


@pytest.mark.parametrize(
    ("include", "exclude", "taken", "left_out"),
    [
        ((), (), ["Tumor", "Stroma", "Artefact", None], []),
        (("Tumor",), (), ["Tumor"], []),
        ((" tumor ", "STROMA"), (), ["Tumor", "Stroma"], []),
        (("Tumor",), ("Artefact",), ["Tumor"], ["Artefact"]),
        ((), ("artefact",), ["Tumor", "Stroma", None], ["Artefact"]),
        ((), ("Tumor", "Stroma"), ["Artefact", None], ["Tumor", "Stroma"]),
    ],
)
def test_classes_are_included_and_excluded(
    tmp_path: Path,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    taken: list[str | None],
    left_out: list[str | None],
) -> None:
    path = annotated(tmp_path, "Tumor", "Stroma", "Artefact", None)
    found = chosen(path, include=include, exclude=exclude)
    assert (labels(found.include), labels(found.exclude)) == (taken, left_out)
    assert found.warnings == ()


TREE = ("Tumor", "Tumor: Positive", "Tumor: Positive: Strong", "Stroma")


@pytest.mark.parametrize(
    ("include", "exclude", "taken", "left_out"),
    [
        (("tumor",), (), TREE[:3], ()),
        (("Tumor:Positive",), (), TREE[1:3], ()),
        ((), ("Tumor",), TREE[3:], TREE[:3]),
        (("Tumor",), ("Tumor: Positive",), TREE[:1], TREE[1:3]),
        (("Tumor: Positive",), ("Tumor",), TREE[1:3], TREE[:1]),
        (("Tumor", "Tumor: Positive: Strong"), ("Tumor: Positive",), (TREE[0], TREE[2]), TREE[1:2]),
        ((), ("Positive",), TREE, ()),
    ],
)
def test_a_class_has_parts_and_the_nearest_that_is_named_decides(
    tmp_path: Path,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    taken: tuple[str, ...],
    left_out: tuple[str, ...],
) -> None:
    found = chosen(annotated(tmp_path, *TREE), include=include, exclude=exclude)
    assert (labels(found.include), labels(found.exclude)) == (list(taken), list(left_out))


def test_a_name_with_commas_is_a_list_unless_a_class_is_called_so(tmp_path: Path) -> None:
    path = annotated(tmp_path, "Tumor", "Stroma", "Pen")
    for include in (("tumor,Stroma",), ("Tumor , Stroma,",), ("Tumor", "Stroma,tumor")):
        found = chosen(path, include=include, exclude=("Pen, Fold",))
        assert (labels(found.include), labels(found.exclude)) == (["Tumor", "Stroma"], ["Pen"])
        assert found.warnings == ("s.geojson: no region of class Fold; it has Pen, Stroma, Tumor",)
        assert found.digest == chosen(path, include=("Stroma", "Tumor"), exclude=("Fold", "Pen")).digest
    path = annotated(tmp_path, "Tumor, invasive", "Tumor")
    assert labels(chosen(path, include=("tumor, invasive",)).include) == ["Tumor, invasive"]
    with pytest.raises(UsageError, match="class tumor is both"):
        chosen(path, include=("Tumor",), exclude=("Fold,Tumor",))


def test_what_is_left_out_of_a_file_is_a_warning(tmp_path: Path) -> None:
    line = {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}
    path = tmp_path / "s.geojson"
    path.write_text(json.dumps([of(POLYGON), of(line), of(line)]))
    assert read_regions(path).warnings == ("s.geojson: left out, because they are no areas: 2 LineString",)
    path.write_text(json.dumps([of(line)]))
    with pytest.raises(NoRegionsError, match=r"holds no polygon, .*; left out, .*: 1 LineString"):
        read_regions(path)


MISPLACED: dict[str, dict[str, Any]] = {
    "classifications": {"classifications": ["Tumor"]},
    "labels": {"labels": ["x", "Tumor"]},
    "annotationType": {"annotationType": "tumor"},
    "tissue_type": {"tissue_type": "Tumor: Positive"},
    "metadata.class": {"metadata": {"class": "Tumor"}},
    "group": {"name": "ROI 1", "group": "Tumor"},
    "title": {"type": "annotation", "title": "Tumor"},
    "props.kind": {"props": '{"kind": "Tumor"}'},  # GeoPandas writes JSON as text
}


@pytest.mark.parametrize("place", MISPLACED)
@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_class_that_stands_elsewhere_is_refused_where_it_is_asked_for(
    option: str, place: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.geojson"
    path.write_text(json.dumps([of(POLYGON, classification="Stroma"), of(POLYGON, **MISPLACED[place])]))
    with pytest.raises(
        SlideError, match=rf"s\.geojson: the class .* the property '{place}'.*`classification`"
    ):
        chosen(path, **{option: ("Tumor",)})
    found = chosen(path, **{option: ("Stroma",)})  # not asked for
    assert len((found.include or []) + found.exclude) == (1 if option == "include" else 2)


@pytest.mark.parametrize(
    "properties",
    [
        {"classification": "Stroma", "comment": "Tumor"},
        {"class": "Tumor", "group": "Tumor"},
        {"name": "Tumor"},
    ],
)
def test_other_properties_of_a_region_with_a_class_do_not_matter(
    properties: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "s.geojson"
    path.write_text(json.dumps([of(POLYGON, **properties), of(POLYGON, classification="Tumor")]))
    assert chosen(path, include=("Tumor",)).include


def test_annotations_of_another_program_are_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "s.xml"
    path.write_text(IMAGESCOPE)
    with pytest.raises(
        SlideError, match=r"^s\.xml: annotations of Aperio ImageScope, .*; write them as GeoJSON"
    ):
        read_regions(path)


def test_where_all_is_excluded_the_rest_of_the_slide_is_taken(tmp_path: Path) -> None:
    found = chosen(annotated(tmp_path, "Artefact", "Artefact"), exclude=("Artefact",))
    assert (found.include, labels(found.exclude)) == (None, ["Artefact", "Artefact"])


def test_a_class_that_the_file_lacks_is_said(tmp_path: Path) -> None:
    path = annotated(tmp_path, "Tumor", "Stroma", None)
    with pytest.raises(
        NoRegionsError,
        match=r"^s\.geojson: no region of class Tumour; it has Stroma, Tumor, and 1 without a class; name",
    ):
        chosen(path, include=("Tumour",))
    warned = chosen(path, include=("Tumor", "Necrosis"), exclude=("Pen",)).warnings
    assert warned == (
        "s.geojson: no region of class Necrosis, Pen; it has Stroma, Tumor, and 1 without a class",
    )
    with pytest.raises(NoRegionsError, match="it has only polygons without a class"):
        chosen(annotated(tmp_path, None), include=("Tumor",))
    with pytest.raises(NoRegionsError, match=r"c0, c1, .*, c8, c9 and 5 more"):
        chosen(annotated(tmp_path, *(f"c{i}" for i in range(10)), *"vwxyz"), include=("Tumor",))


@pytest.mark.parametrize(
    "document", [[], {"type": "FeatureCollection", "features": []}, {"type": "Point", "coordinates": [1, 2]}]
)
def test_a_file_without_polygons_has_nothing_to_take(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "s.geojson"
    path.write_text(json.dumps(document))
    with pytest.raises(NoRegionsError, match=r"^s\.geojson: holds no polygon"):
        read_regions(path)
    with pytest.raises(NoRegionsError, match="holds no polygon"):
        chosen(path, include=("Tumor",))
    found = chosen(path, exclude=("Pen",))
    assert (found.include, found.exclude) == (None, [])
    assert found.warnings[-1] == "s.geojson: no region of class Pen; it has no polygon"


def test_the_digest_is_of_file_and_choice(tmp_path: Path) -> None:
    path = annotated(tmp_path, "Tumor", "Stroma", "Pen")
    choices: list[dict[str, tuple[str, ...]]] = [
        {},
        {"include": ("Tumor",)},
        {"include": ("Stroma",)},
        {"include": ("Tumor", "Stroma")},
        {"include": ("Tumor",), "exclude": ("Pen",)},
        {"exclude": ("Pen",)},
    ]
    digests = [chosen(path, **choice).digest for choice in choices]
    assert len(set(digests)) == len(choices)
    assert chosen(path, include=("STROMA ", "tumor", "Tumor")).digest == digests[3]
    annotated(tmp_path, "Tumor", "Stroma", "Pen", None)
    assert not {chosen(path, **choice).digest for choice in choices} & set(digests)


def item(roi: Path | None = None) -> SlideInput:
    return SlideInput("a__s", Path("/data/a/s.svs"), "a/s.svs", roi=roi)


def test_without_a_word_of_regions_the_whole_slide_is_taken() -> None:
    assert slide_regions(item(), RegionRules()) is None
    assert slide_regions(item(), RegionRules(exclude=("Pen",))) is None


def test_a_slide_without_file_says_what_was_looked_for() -> None:
    rules = RegionRules(Path("/some/where/annotations"))
    with pytest.raises(NoRegionsError) as error:
        slide_regions(item(), rules)
    text = str(error.value)
    assert text.startswith(
        "a/s.svs: no annotation file in annotations; add it (named a__s, a/s, a/s.svs, s, s.svs with "
        ".geojson, .json, .xml), or set "
    )
    assert "`roi_missing='skip'`" in text
    assert "/some" not in text
    with pytest.raises(NoRegionsError, match="no roi in the manifest"):
        slide_regions(item(), RegionRules(include=("Tumor",)))


def test_a_slide_without_file_can_be_taken_whole(tmp_path: Path) -> None:
    found = slide_regions(item(), RegionRules(tmp_path, missing="whole"))
    assert found is not None
    assert (found.include, found.exclude, found.digest) == (None, [], None)
    assert found.warnings == (f"a/s.svs: no annotation file in {tmp_path.name}, taken whole",)
    path = annotated(tmp_path, "Tumor")
    found = slide_regions(item(path), RegionRules(tmp_path, missing="whole"))
    assert found is not None
    assert labels(found.include) == ["Tumor"]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"missing": "ignore"}, "`roi_missing='ignore'`: choose fail, skip or whole"),
        ({"include": ("",)}, "need the name of a class"),
        ({"exclude": ("  ",)}, "need the name of a class"),
        ({"include": ("Tumor", "x"), "exclude": ("tumor ",)}, "class tumor is both"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RegionRules(**rules)


def test_classes_need_annotations(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="need `roi="):
        check_rules(RegionRules(include=("Tumor",)), [item()])
    check_rules(RegionRules(include=("Tumor",)), [item(), item(tmp_path / "s.xml")])
    check_rules(RegionRules(tmp_path, include=("Tumor",)), [item()])
    check_rules(RegionRules(), [item()])


def test_a_group_of_one_name_in_two_groups_cannot_be_chosen_by_them(tmp_path: Path) -> None:
    points = "".join(f'<Coordinate X="{x}" Y="{y}"/>' for x, y in ((0, 0), (9, 0), (9, 9)))
    areas = "".join(
        f'<Annotation Name="A" PartOfGroup="{group}"><Coordinates>{points}</Coordinates></Annotation>'
        for group in ("Tumor", "Artefact")
    )
    path = tmp_path / "s.xml"
    path.write_text(
        f"<ASAP_Annotations><Annotations>{areas}</Annotations><AnnotationGroups>"
        '<Group Name="Tumor"><Group Name="Artefact"/></Group><Group Name="Stroma"><Group Name="Artefact"/>'
        "</Group></AnnotationGroups></ASAP_Annotations>"
    )
    for rules in ({"include": ("Tumor",)}, {"include": ("stroma",)}, {"exclude": ("Stroma",)}):
        with pytest.raises(SlideError, match=r"the group Artefact is in several groups \(Tumor, Stroma\)"):
            chosen(path, **rules)
    assert labels(chosen(path).include) == ["Tumor", "Artefact"]
    assert labels(chosen(path, exclude=("Artefact",)).include) == ["Tumor"]
    both = chosen(path, include=("Tumor",), exclude=("Artefact",))
    assert (labels(both.include), labels(both.exclude)) == (["Tumor"], ["Artefact"])


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_match_composed_or_not(forms: tuple[Any, Any], tmp_path: Path) -> None:
    there, asked = (unicodedata.normalize(form, "Gefäß") for form in forms)
    found = chosen(annotated(tmp_path, there, "Tumor"), exclude=(asked,))
    assert (labels(found.include), labels(found.exclude)) == (["Tumor"], [there])
