"""Everything that faces a client: HTTP and gRPC doors, admission, sessions, streaming and recovery."""
