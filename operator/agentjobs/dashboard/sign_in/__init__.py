"""Signing in and out: each way that the installation has on, and who asks when somebody is signed in.

ways         which ways there are
routes       the pages of signing in and out
visitors     who asks: by their session, or by what a trusted proxy says
attempts     how often an address may try
links        links that sign in once, of `agentjobs dev`
proxies      which callers are trusted proxies, and what they say
account      this process's own token, which follows its file
returning    where to go after signing in: only to pages of our own
"""
