"""Compression and decompression of pictures."""
