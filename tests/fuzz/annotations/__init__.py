"""Annotations, GeoJSON and ASAP XML."""

from tests.fuzz.annotations.bases import base_files
from tests.fuzz.annotations.exercise import exercise
from tests.fuzz.annotations.mutate import mutated

__all__ = ["base_files", "exercise", "mutated"]
