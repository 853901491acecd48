"""The link: one bidirectional stream of frames between two processes."""
