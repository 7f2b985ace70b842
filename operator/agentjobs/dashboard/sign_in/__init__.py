"""Signing in and out: each way that the installation has on, and who asks when somebody is signed in.

ways         which ways there are, and who asks
routes       signing in by a token or a link, and signing out
oidc_routes  the way to a provider of OpenID Connect and back
oidc         what a provider says, and whether it can be believed
pages        what these routes share
attempts     how often an address may try
links        links that sign in once, of `agentjobs dev`
proxies      which callers are trusted proxies, and what they say
account      this process's own token, which follows its file
returning    where to go after signing in: only to pages of our own
"""
