"""Measurement of codecs: points of rate and distortion, and label scores."""
