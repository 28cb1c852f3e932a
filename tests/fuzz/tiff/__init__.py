"""TIFF slides of every kind that the readers take."""

from tests.fuzz.tiff.bases import base_files
from tests.fuzz.tiff.exercise import exercise
from tests.fuzz.tiff.mutate import mutated

__all__ = ["base_files", "exercise", "mutated"]
