"""The pages: routes that ask REST, make a view of the answer, and render it.

asking    what routes ask for: REST with the rights of who is signed in, and templates
overview  what runs, waits, fails and costs
reasons   what the words of conditions and errors mean
"""
