"""Teachers of a distillation: exported models, and a cache of their features."""

from __future__ import annotations

from wsi_embed_train.teacher.loading import load_teacher, start_teaching
from wsi_embed_train.teacher.teacher import Teacher

__all__ = ["Teacher", "load_teacher", "start_teaching"]
