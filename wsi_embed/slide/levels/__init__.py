"""Choice of the images of a file that are levels of its slide, and checks that they show the same picture."""
