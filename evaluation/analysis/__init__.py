"""Comparison of measured points: protocols, BD-rate, statistics, tables."""
