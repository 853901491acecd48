"""Where the gateway keeps what must outlive it."""
