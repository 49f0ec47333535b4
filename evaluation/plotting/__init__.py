"""Plots of measured points."""
