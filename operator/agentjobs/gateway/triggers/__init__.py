"""Triggers: calls that create jobs from templates.

    file         the triggers file: which signed calls create jobs
    signatures   checks whether a call is signed with a known secret
    calls        the content of a call: its body, its parameters, its idempotency key
    jobs         the job of a call, which is created once
    answering    handles a signed call

A call with a Kubernetes token uses only that token. A signed call creates a job from the template of its entry in the
file; its body gives only the values of parameters.
"""
