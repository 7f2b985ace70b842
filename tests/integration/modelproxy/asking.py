"""What tests of a running proxy ask it, and what they read in the database."""

import asyncio

import psycopg

PATH = "/anthropic/v1/messages"
MESSAGES = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
STREAMED = MESSAGES | {"stream": True}


async def until_answered(http, token):
    """Ask until the answer is another than to come again."""
    for _ in range(300):
        answer = await http.post(PATH, json=MESSAGES, headers={"x-api-key": token})
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError(answer.text)


async def until(true):
    """Wait until a condition holds."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def rows(dsn, query):
    """What the database has."""
    async with await psycopg.AsyncConnection.connect(dsn, options="-c search_path=agentjobs") as connection:
        return await (await connection.execute(query)).fetchall()
