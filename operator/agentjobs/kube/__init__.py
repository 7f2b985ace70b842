"""Access to the Kubernetes API. Makes no decisions.

client             reads and writes objects: dicts in, dicts out, our errors raised
callers            the API server as our callers see it, with their tokens
impersonation      the user whom a caller impersonates, from headers
connection         address and credentials of the API server
answers            responses of an API server, as our errors
wire               encodes and decodes objects as JSON
lines              lines of a stream, of any length
log_tail           the end of a container's log
startup            retries the first requests of a process until an API server answers
resources          the resources that we use, as values
elector            holds a Lease, so that only one operator writes
recorder           writes Kubernetes Events
watch_session      the HTTP session that kopf lists and watches with
finalizer_cleanup  removes our finalizer from pods after the operator is gone
"""
