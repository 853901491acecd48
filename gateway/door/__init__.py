"""The HTTP door: bytes in, one validated Request per sequence, OpenAI-shaped answers out."""
