"""Pictures in memory and in files: samples, alpha, metadata, reading and writing."""
