"""Which provider serves a request, and the call itself.

`names` says which model of which provider is meant, `catalogue` knows who has what, `conditions` remembers how
providers have been doing, and `router` chooses, calls, retries and falls back.
"""
