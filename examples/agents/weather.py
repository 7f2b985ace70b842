"""An agent with a tool, as any ADK agent is written; examples/module.yaml runs it as a job."""

from google.adk.agents import LlmAgent

from agentjobs_runner import Permanent

_WEATHER = {"berlin": ("rainy", 16), "paris": ("sunny", 24)}


def get_weather(city: str) -> dict[str, str | int]:
    """Tell the weather in a city.

    Args:
        city: the city's name, in English.
    """
    if city.lower() not in _WEATHER:
        # Another attempt would ask for the same city: end the job instead of trying again.
        raise Permanent(f"there is no weather station in {city}")
    sky, degrees = _WEATHER[city.lower()]
    return {"city": city, "sky": sky, "celsius": degrees}


agent = LlmAgent(
    name="weather",
    model="gemini-flash-latest",
    instruction="Answer questions about the weather. Use the tool; do not guess.",
    tools=[get_weather],
)
