"""What the evaluation is made of: codecs, measured points, comparisons, plots, the report."""
