"""Weights of files, and networks that start from them."""
