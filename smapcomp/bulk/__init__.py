"""Compression and decompression of many pictures as a Beam pipeline: `python -m smapcomp.bulk`."""
