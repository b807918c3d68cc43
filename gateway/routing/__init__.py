"""Which provider serves a request, and the call itself.

`names` says which model of which provider is meant, `catalogue` knows who has what (`listing` shows it), `login` finds
what lets us in, `conditions` remembers how providers have been doing, `retries` says what is worth another try,
`attempts` makes them, and `router` is the door to all of it.
"""
