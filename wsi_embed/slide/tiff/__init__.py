"""TIFF reader that decodes each compressed tile once."""
