"""How the control side speaks to the Kubernetes API. Nothing is decided here.

client             reads and writes objects: dicts in, dicts out, our errors raised
callers            the same as those see it who call us, with their own tokens
impersonation      whom a caller acts as, as headers say it
connection         where the API server is and who we are to it
answers            what an API server answers, as our errors
wire               objects as JSON, and read back
lines              lines of a stream, of any length
startup            repeats what a process asks when it starts, until an API server answers
resources          the resources that we touch, as values
elector            holds a Lease, so that one operator at a time writes
recorder           writes Kubernetes Events
watch_session      the HTTP session that kopf lists and watches with
finalizer_cleanup  removes our finalizer from pods at the end of an installation
"""
