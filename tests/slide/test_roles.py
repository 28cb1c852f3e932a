"""Names of images that are not levels."""

from __future__ import annotations

import unicodedata

import pytest

from wsi_embed.slide.roles import role_in

NAMES = (
    "Etikett", "ETIKETT", "Etikett 12", "scan_1_Etikett.tif", "Übersicht", "Uebersicht",
    "Übersichtsbild", "Makrobild", "Vorschau", "étiquette", "Étiquette de la lame", "aperçu",
    "vignette", "vue d’ensemble", "etiqueta", "máscara", "vista previa", "etichetta", "anteprima",
    "rótulo", "visão geral", "pré-visualização", "etiket", "overzicht", "översikt",
    "förhandsvisning", "etykieta", "podgląd", "štítek", "náhled", "címke", "önizleme", "ETİKET",
    "этикетка", "Обзор", "ετικέτα", "标签", "标签图像", "缩略图", "slide宏观图", "ラベル",
    "サムネイル画像", "라벨", "썸네일", "תווית",
)  # fmt: skip
OTHERS = (
    "Makroskopie", "Makrometastase", "Haut, 3 mm", "Etikettierung = 17", "Barcode = 17 | MPP = 0.5",
    "Lame 12, coloration HES", "Übersichtlich", "染色 HE", "胃癌组织", "切片扫描", "Vignettierung",
    "maskulin", "Gewebe", "Aperio Image Library v12", "", "ImageJ=1.53", "tissue, label-free", "胃",
    "위암 조직", "ヘマトキシリン", "Препарат 5", "macro-metastasis",
)  # fmt: skip


def stored(text: str, encoding: str) -> str:
    """Text as a TIFF tag of an encoding is read."""
    return text.encode(encoding).decode("latin-1")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_labels_and_overviews_are_found_in_any_language(name: str, form: str) -> None:
    name = unicodedata.normalize(form, name)  # type: ignore[arg-type]
    assert role_in(name)
    assert role_in(stored(name, "utf-8"))


@pytest.mark.parametrize("name", OTHERS)
def test_other_words_are_no_roles(name: str) -> None:
    assert role_in(name) is None
    assert role_in(stored(name, "utf-8")) is None


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("Übersicht", "latin-1"),
        ("étiquette", "cp1252"),
        ("podgląd", "cp1250"),
        ("этикетка", "cp1251"),
        ("标签", "gbk"),
        ("標籤", "big5"),
        ("ラベル", "shift_jis"),
        ("라벨", "euc_kr"),
    ],
)
def test_other_encodings_are_tried(name: str, encoding: str) -> None:
    assert role_in(stored(name, encoding))


def test_the_word_is_told() -> None:
    assert role_in("a\nLabel 12") == "a label"
    assert role_in("Scan [Übersicht]") == "ubersicht"


@pytest.mark.parametrize(
    ("kind", "role"), [("Label", "a label"), ("Overview", "an overview"), ("ReducedResolution", None)]
)
def test_the_image_type_of_akoya_is_read(kind: str, role: str | None) -> None:
    assert role_in(f"<?xml version='1.0'?><Q><Label>7</Label><ImageType>{kind}</ImageType></Q>") == role
