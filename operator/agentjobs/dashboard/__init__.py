"""The dashboard: pages for people, rendered on the server from what REST (`/v1`) answers to the signed-in person.

    app          the application of the pages
    asgi         the ASGI application: REST for people, and the pages
    serve        the process
    settings     settings from the environment
    rest         requests to REST with the rights of the person
    identity     the person who is signed in, and their headers for REST
    sign_in      the ways to sign in
    sessions     sessions in sealed cookies
    sealing      encryption of cookies
    security     headers of all answers, checks of all requests
    csrf         the token that forms carry
    problems     error pages
    metrics      metrics for Prometheus
    rendering    templates
    texts        names, times, durations and addresses as text
    forms        reads forms
    pages        the routes, one module for each page
    views        the content of pages as values: pure

Nothing here reads the database or the API server, so programs can read from REST all that a page shows. Templates are
in `templates/`, style sheet and scripts in `static/`.
"""
