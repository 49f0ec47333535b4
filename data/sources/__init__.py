"""Sources of pictures and label maps, each behind the same interface."""
