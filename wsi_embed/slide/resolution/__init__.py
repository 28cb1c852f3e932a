"""Resolution of slides: the fields of metadata that state it, and the choice among them."""
