"""The bitstream: the container, the coders of its layers, and what joins them with the networks."""
