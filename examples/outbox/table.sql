-- What the application wants of agents. It inserts rows in its own transactions, beside what they are about.
CREATE TABLE agent_requests (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    template   text NOT NULL,
    parameters jsonb NOT NULL,
    job        text
);
