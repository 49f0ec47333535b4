"""Measurement of codecs: rate-distortion points, time and memory, accuracy of label maps."""
