"""Measurements that a run makes now and then: validation, pictures, real coding."""
