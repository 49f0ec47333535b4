"""The bytes of a stream: header, layer table, payloads, and the integer codes they use."""
