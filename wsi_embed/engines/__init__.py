"""Who runs the slides of a job."""
