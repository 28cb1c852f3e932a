"""Jobs: the steps of one slide, the engines that run them, and the report."""
