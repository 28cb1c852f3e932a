"""OME-TIFF slides."""

from tests.fuzz.ome.bases import base_files
from tests.fuzz.ome.exercise import exercise
from tests.fuzz.ome.mutate import mutated

__all__ = ["base_files", "exercise", "mutated"]
