"""Pictures and their files: reading, writing, modes, metadata, deep samples."""
