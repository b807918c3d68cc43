"""Who may call, and how often.

identity.py      whom a credential stands for
credentials.py   where a request carries a credential, and whether it is good
tokens.py        JWTs: what a good one says, and how one is written
jwks.py          the keys of an identity provider
quotas.py        limits, and what is left of them
counters.py      where hits are counted on this machine, in one process or in many
clients.py       the address of a client behind proxies
"""
