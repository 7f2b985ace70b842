"""Signing in and out by the ways that the installation enables.

ways         the enabled ways, and the person of a request
routes       signing in by a token or a link, and signing out
oidc_routes  redirects to an OpenID Connect provider and back
oidc         requests to the provider, and checks of its answers
pages        shared by these routes
attempts     limit of failed attempts by address
links        links that sign in once, of `agentjobs dev`
proxies      trusted proxies and their headers
account      the token of this process, read again from its file
return_path  where to go after signing in: only to pages of the dashboard
"""
