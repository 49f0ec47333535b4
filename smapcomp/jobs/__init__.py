"""Shared parts of command-line jobs: exit statuses, one-line errors, progress, notices, Beam."""
