"""Sakura svslide: an SQLite database, one grey JPEG a tile and channel. https://openslide.org/formats/sakura/."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from pathlib import Path

import numpy as np

from tests.made_formats.pixels import UInt8Array, jpeg, jpeg_grey, shrunk, tiles

TABLE = "Made123"
SIDE = 128
MPP = 0.5
SCHEMA = f"""
CREATE TABLE DataManagerSQLiteConfigXPO (TableName TEXT);
CREATE TABLE {TABLE} (id TEXT PRIMARY KEY, size INTEGER, data BLOB);
CREATE TABLE tile (TILEID TEXT, PYRAMIDLEVEL INTEGER, COLUMNINDEX INTEGER, ROWINDEX INTEGER,
  COLORINDEX INTEGER);
CREATE TABLE SVSlideDataXPO (OID INTEGER, m_labelScan INTEGER, m_overviewScan INTEGER, SlideId TEXT,
  Date TEXT, Description TEXT, Creator TEXT, DiagnosisCode TEXT, Keywords TEXT);
CREATE TABLE SVHRScanDataXPO (OID INTEGER, ParentSlide INTEGER, ScanId TEXT, Date TEXT, Name TEXT,
  Description TEXT, ResolutionMmPerPix REAL, NominalLensMagnification REAL, FocussingMethod TEXT,
  ThumbnailImage BLOB);
CREATE TABLE SVScannedImageDataXPO (OID INTEGER, Image BLOB);
INSERT INTO SVSlideDataXPO VALUES (1, 1, 1, 'id', 'date', '', '', '0', '');
"""


def write_sakura(path: Path, pixels: UInt8Array) -> Path:
    """Write an svslide with downsamples 1 and 4."""
    h, w = pixels.shape[:2]
    header = struct.pack("<IIIIII", SIDE, w, h, 8, 1, 3) + struct.pack("<IHIIIIII", 1, 256, 1, 2, 3, 4, 5, 6)
    blobs = {"++MagicBytes": b"SVGigaPixelImage", "++VersionBytes": b"1.0.0", "Header": header}
    index = []
    for factor in (1, 4):
        level = shrunk(pixels, factor)
        across = -(-level.shape[1] // SIDE)
        for number, tile in enumerate(tiles(level, SIDE)):
            x, y = (v * SIDE * factor for v in (number % across, number // across))
            for color in range(3):
                name = f"T;{x}|{y};{factor};{color};0"
                blobs[name] = jpeg_grey(np.ascontiguousarray(tile[..., color]))
                index.append((name, factor, x, y, color))
    label = jpeg(np.full((32, 32, 3), (255, 0, 0), np.uint8))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA)
        db.execute("INSERT INTO DataManagerSQLiteConfigXPO VALUES (?)", (TABLE,))
        scan = (1, 1, "id", "date", "", "", MPP / 1000, 20.0, "1", label)
        db.execute("INSERT INTO SVHRScanDataXPO VALUES (?,?,?,?,?,?,?,?,?,?)", scan)
        db.execute("INSERT INTO SVScannedImageDataXPO VALUES (1, ?)", (label,))
        rows = [
            (name, len(data), data.decode() if name.startswith("++") else data)
            for name, data in blobs.items()
        ]
        db.executemany(f"INSERT INTO {TABLE} VALUES (?, ?, ?)", rows)
        db.executemany("INSERT INTO tile VALUES (?, ?, ?, ?, ?)", index)
        db.commit()
    return path
