"""The dashboard: pages for people, made on the server from what REST (`/v1`) answers to the person who asks.

    app          the pages' application, made from its routes
    rest         asks REST as the person who is signed in
    identity     who is signed in, and the headers by which REST knows them
    rendering    templates, and the text of models and users in them
    forms        reads what a form sent
    pages        one module a page: its routes
    views        what pages show, as values: pure

Nothing here reads the database or the API server: what a page shows, a program can ask for. Templates lie in
`templates/`, style sheet and scripts in `static/`.
"""
