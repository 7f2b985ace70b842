"""What pages show, as values: made from what REST answered and the time. Pure.

namespaces   which namespaces a page is about, and the choice of others
reasons      the words of conditions and errors
"""
