"""The pages: routes that ask REST, make a view of the answer, and render it.

asking   what routes ask for: REST with the rights of who is signed in, and templates
reasons  what the words of conditions and errors mean
"""
