-- The application's requests to agents. It inserts them in the same transactions as its own data.
CREATE TABLE agent_requests (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    template   text NOT NULL,
    parameters jsonb NOT NULL,
    job        text
);
