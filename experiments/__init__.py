"""Training jobs, their configurations, and the demo."""
