"""Training scripts of the demo model `baton-tiny`; nothing at run time imports this package."""
