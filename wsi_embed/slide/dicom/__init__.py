"""Reading and checking of DICOM whole-slide images (PS3.3, A.32.8)."""
