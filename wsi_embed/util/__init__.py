"""Small helpers that know nothing of slides: atomic files, text, memory, versions."""
