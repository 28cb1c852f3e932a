"""Reader of OME-Zarr (NGFF 0.4 and 0.5), in folders and zip archives."""
