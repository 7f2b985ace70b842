"""An agent that says, calls, returns and saves what attacks pages. Tests run it in real pods."""

from google.adk.agents.base_agent import BaseAgent
from google.adk.events.event import Event
from google.genai import types

ATTACK = (
    "<script>window.__hacked = 1</script><img src=x onerror='window.__hacked = 1'>"
    "\"'><svg/onload=window.__hacked=1> [click](javascript:window.__hacked=1) ![x](https://evil.example/x.png) "
    "{{ 7 * 191 }} \u202egnp.exe\u202c \x1b[2J </pre></title></textarea> <!--"
)
FILE = "<img src=x onerror=window.__hacked=1>"
HUGE = 1024 * 1024


class Attacker(BaseAgent):
    """Calls a tool of a hostile name, saves an artifact of one, and ends with a line of 1 MB."""

    async def _run_async_impl(self, ctx):
        saved = types.Part(inline_data=types.Blob(data=ATTACK.encode(), mime_type="text/html"))
        where = {"app_name": ctx.app_name, "user_id": ctx.user_id, "session_id": ctx.session.id}
        await ctx.artifact_service.save_artifact(filename=FILE, artifact=saved, **where)
        call = types.FunctionCall(id="1", name="<b onclick=window.__hacked=1>", args={ATTACK: ATTACK})
        yield self._event(ctx, types.Part(function_call=call))
        answer = types.FunctionResponse(id="1", name=call.name, response={"result": ATTACK})
        yield self._event(ctx, types.Part(function_response=answer))
        yield self._event(ctx, types.Part(text=ATTACK))
        yield self._event(ctx, types.Part(text=ATTACK + "<i>" * (HUGE // 3)))

    def _event(self, ctx, part):
        content = types.Content(role="model", parts=[part])
        return Event(author=self.name, invocation_id=ctx.invocation_id, content=content)


def succeeding():
    """Return the agent."""
    return Attacker(name="attacker")


def failing():
    """Fail with a hostile message."""
    raise RuntimeError(ATTACK)
