"""Classes that run the networks for the codec, on whole pictures or window by window."""
