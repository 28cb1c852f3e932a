"""An example of a package that extends wsi-embed: a slide reader and a convert format."""
