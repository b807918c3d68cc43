"""HTTP only: parse, call, answer. One file for each family of paths."""
