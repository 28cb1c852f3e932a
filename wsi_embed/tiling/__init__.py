"""Tiling of slides, and the settings that determine a slide's arrays."""
