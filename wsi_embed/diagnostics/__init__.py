"""The commands `bench`, `doctor` and `info`."""
