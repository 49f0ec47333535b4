"""Compression of many pictures, as an Apache Beam pipeline (`python -m smapcomp.bulk`)."""
