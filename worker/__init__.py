"""The host both roles run in: engine process, links, registration, drain. It knows no role by name."""
