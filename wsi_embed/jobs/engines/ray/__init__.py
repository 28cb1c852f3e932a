"""Engine that runs a job's slides on a Ray cluster: actors hold the model, slides are the work items."""

from __future__ import annotations

from wsi_embed.jobs.engines.ray.cluster import connected
from wsi_embed.jobs.engines.ray.engine import RayEngine

__all__ = ["RayEngine", "connected"]
