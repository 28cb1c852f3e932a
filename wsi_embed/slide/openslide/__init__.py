"""Slides read by OpenSlide, and checks of what it takes on trust."""
