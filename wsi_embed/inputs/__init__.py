"""Input slides: files, folders, tables and remote addresses."""
