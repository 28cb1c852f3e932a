"""DICOM series."""

from tests.fuzz.dicom.bases import base_files
from tests.fuzz.dicom.exercise import exercise
from tests.fuzz.dicom.mutate import mutated

__all__ = ["base_files", "exercise", "mutated"]
