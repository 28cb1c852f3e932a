"""The slides that the user names: in files, folders, tables and at addresses."""
