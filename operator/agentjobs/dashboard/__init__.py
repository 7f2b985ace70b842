"""The dashboard: pages for people, made on the server from what REST (`/v1`) answers to the person who asks.

    app          the pages' application, made from its routes
    whole        the whole application: REST for people beside the pages
    serve        the process
    settings     what an installation can set
    rest         asks REST as the person who is signed in
    identity     who is signed in, and the headers by which REST knows them
    sign_in      the ways to sign in
    sessions     who has signed in, in sealed cookies
    sealing      encrypts what browsers keep for us
    security     headers of every answer, checks of every request
    csrf         the token that forms carry
    problems     what people see when something is wrong
    metrics      metrics for Prometheus
    rendering    templates, and the text of models and users in them
    forms        reads what a form sent
    pages        one module a page: its routes
    views        what pages show, as values: pure

Nothing here reads the database or the API server: what a page shows, a program can ask for. Templates lie in
`templates/`, style sheet and scripts in `static/`.
"""
