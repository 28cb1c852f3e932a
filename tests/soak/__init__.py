"""Soak test: kills, full disks and flipped bits, at random and over all commands (`make soak`)."""
