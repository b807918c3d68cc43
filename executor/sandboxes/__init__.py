"""Boxes that code runs in: the contract, the engine behind it, the protocol spoken with the supervisor inside."""
