"""Files of the scanners' formats, written from the formats' public descriptions.

No scanner wrote them: they hold what OpenSlide documents (https://openslide.org/formats/) and
known pixels, so that what is read can be compared with what was written.
"""
