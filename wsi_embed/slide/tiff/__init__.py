"""The TIFF reader, which decodes each compressed tile once."""
