"""Training jobs with their configurations, and the demo."""
