"""The layers of a stream: each module turns one kind of content into a `Layer` and back."""
