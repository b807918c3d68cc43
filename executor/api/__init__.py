"""HTTP only: parse, call, answer."""
