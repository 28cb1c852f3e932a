"""Names of images that are not levels (labels, macro images, thumbnails, masks) in several languages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

LONGEST_NAME = 64
# At the start of any line of a description, and anywhere in a short line that is a name (`s.svs [label]`).
# Facts (`Barcode = 17`) do not count.
_ENGLISH = r"(label|macro|thumb(?:nail)?|overview|mask|barcode|slide ?preview|preview|navigation image)"
_OTHERS = r"(?![\W_]?free\b|[\W_]?met)"  # label-free, macro-metastasis
_LINE_STARTS = re.compile(rf"^\W*{_ENGLISH}(?: ?image)?\b(?!\s*=){_OTHERS}", re.I | re.M)
_NAMES = re.compile(rf"(?<![a-z])(?:slide)?{_ENGLISH}(?:image)?(?![a-z]){_OTHERS}", re.I)
_IMAGE_TYPE = re.compile(rf"<ImageType>\s*{_ENGLISH}\s*</ImageType>", re.I)  # Akoya QPTIFF

# Words in other languages, without accents, as parts of names only.
_ALPHABETIC = (
    # German, Dutch, Scandinavian
    "etikett(?:e|en|i)?", "etiket", "beschriftung", "makro", "ue?bersichts?", "overzichts?",
    "oversi[kg]ts?", "vorschau", "voorvertoning", "forhandsvisning", "miniatur(?:ansicht)?",
    "miniatuur", "miniatyr", "masken?", "masker", "strichcode", "streepjescode", "streckkod",
    "strekkode", "stregkode",
    # French, Spanish, Portuguese, Italian, Romanian
    "etiquettes?", "etiquetas?", "etichett?a", "rotulo", "vignettes?", "miniatur[ae]", "apercu",
    "anteprima", "vista previa", "pre-?visualizacao", "previzualizare", "vue d.ensemble",
    "vista general", "visao geral", "panoramica", "masque", "mascara", "maschera", "masca",
    "code[- ]barres?", "codigo de barras", "codice a barre",
    # Finnish, Polish, Czech, Hungarian, Turkish
    "yleiskuva", "esikatselu", "pienoiskuva", "maski", "viivakoodi", "etykieta", "podglad",
    "przeglad", "maska", "kod kreskowy", "stitek", "nahled", "prehled", "carovy kod", "cimke",
    "attekintes", "elonezet", "belyegkep", "vonalkod", "maszk", "onizleme", "kucuk resim",
    "genel gorunum", "barkod",
    # Greek, Russian, Ukrainian
    "ετικετα", "μακρο", "μικρογραφια", "επισκοπηση", "μασκα", "[эе]тикетка", "метка", "макро",
    "миниатюра", "эскиз", "обзор(?:ное)?", "предпросмотр", "маска", "штрих-?код",
)  # fmt: skip
_OTHER_SCRIPTS = (
    # Chinese, Japanese, Korean, Arabic, Hebrew: words are not separated
    "标签", "標籤", "宏观", "宏觀", "缩略图", "縮略圖", "縮圖", "预览", "預覽", "概览", "概覽",
    "总览", "掩膜", "掩码", "蒙版", "遮罩", "条码", "條碼", "条形码", "二维码", "导航图",
    "ラベル", "マクロ", "サムネイル", "プレビュー", "概観", "マスク", "バーコード",
    "라벨", "레이블", "매크로", "썸네일", "섬네일", "미리 ?보기", "마스크", "바코드", "ملصق",
    "תווית",
)  # fmt: skip
# Encodings of descriptions that are not UTF-8, as TIFF does not state one.
ENCODINGS = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "gbk", "big5", "shift_jis", "euc_kr")


def plain_letters(text: str) -> str:
    """Return text in lower case without accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


_PICTURE = r"(?:[ _-]?(?:bild|beeld|aufnahme|foto|photo|image|imagen|imagem|immagine))?"
_FOREIGN = re.compile(
    rf"(?<![^\W\d_])({'|'.join(map(plain_letters, _ALPHABETIC))}){_PICTURE}(?![^\W\d_]){_OTHERS}"
    f"|({'|'.join(map(plain_letters, _OTHER_SCRIPTS))})"
)


def role_in(text: str) -> str | None:
    """Find a role other than that of a level in a name or description of an image.

    Args:
        text: Text of a TIFF tag, decoded as Latin-1, or of an XML attribute.

    Returns:
        Words that continue "the file calls it"; None if there is no such role.
    """
    if text.lstrip().startswith("<"):
        found = _IMAGE_TYPE.search(text)
        return _with_article(found[1]) if found else None
    for found in (_LINE_STARTS.search(text), *map(_NAMES.search, _names(text))):
        if found:
            return _with_article(found[1])
    for decoded in _decoded(text):
        for name in _names(decoded):
            if match := _FOREIGN.search(plain_letters(name)):
                return match[0].strip()
    return None


def _with_article(word: str) -> str:
    word = word.lower()
    return f"{'an' if word == 'overview' else 'a'} {word}"


def _names(text: str) -> list[str]:
    """Return the short lines of a text that are no lists of facts."""
    return [line for line in text.splitlines() if len(line) <= LONGEST_NAME and not set(line) & set("=|")]


def _decoded(text: str) -> Iterator[str]:
    """Yield the texts that a text of unknown encoding may be."""
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:  # decoded already
        yield text
        return
    try:
        yield data.decode()
    except UnicodeDecodeError:
        for encoding in ENCODINGS:
            yield data.decode(encoding, "replace")
