"""What the gateway tells about itself: log lines, metrics, and the call log. Nothing here knows HTTP.

logs      one line per event on stderr and in LOG_FILE, with the request's id
masking   the second line of defence: no secret in a line or a row, whoever wrote it
metrics   Prometheus figures, right over all workers
calls     the call log as handlers see it: record without waiting, ask, follow
database  its SQLite file
filters   what a list of calls is narrowed down to
figures   what the calls come to, added up as they are written
stats     its figures over a window, for the charts
folder    the temporary folder that the workers of one gateway share

Other rooms log through the standard library: `logging.getLogger("gateway.routing").info("retrying",
extra={"provider": "openai", "attempt": 2})`; every `extra` becomes a fact of the line.
"""
