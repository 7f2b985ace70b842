"""What the proxy knows of the providers' APIs. Pure; nothing here asks anybody.

api          the values: what is asked, refused, used
headers      which headers pass, and where the key stands
"""
