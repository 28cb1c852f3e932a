"""Jobs: processing steps of one slide, engines that run them, and the report."""
