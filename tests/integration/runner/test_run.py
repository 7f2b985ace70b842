"""The real runner, start to end, against a gateway on the loopback."""


def test_a_scripted_answer_becomes_the_result_and_the_verdict(gateway, start):
    fake = gateway(starts=[[{"text": '{"mood": "fine"}', "usage": {"inputTokens": 7, "outputTokens": 3}}]])

    run = start(fake).wait()

    assert run.verdict == ("Succeed", "ResultAccepted")
    assert run.code == 0
    assert fake.results[0]["result"] == {
        "text": '{"mood": "fine"}',
        "structured": {"mood": "fine"},
        "usage": {"llmCalls": 1, "toolCalls": 0, "inputTokens": 7, "outputTokens": 3},
    }
    assert fake.kinds() == ["started", "model", "text", "ended"]
