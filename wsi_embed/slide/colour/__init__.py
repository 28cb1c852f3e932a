"""Colours of slides: ICC profiles, and what files say of their colours against their pixels."""
