"""An agent whose tool has an effect in the world; examples/resume.yaml kills it three times.

Sending is a line in the pod's log here. What was sent is in the session's state, too, with the number of the start that
sent it, and the answer is made of that.
"""

import os

from google.adk.agents import LlmAgent
from google.adk.agents.callback_context import CallbackContext
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from agentjobs_runner import idempotency_key


def list_customers() -> list[str]:
    """Return the customers who get an invoice."""
    return ["Ada", "Bob", "Cleo", "Dan"]


def send_invoice(customer: str, tool_context: ToolContext) -> str:
    """Send an invoice.

    Args:
        customer: the name of the customer.
    """
    # A mail service would get this key, to refuse a second mail: the process may die between mail and record.
    print(f"invoice for {customer}, key {idempotency_key()}", flush=True)
    # A key for each: the model may send several together, and each call sees the state before them.
    tool_context.state[f"sent to {customer}"] = f"start {os.environ['AGENTJOBS_START']}"
    return f"sent to {customer}"


def receipt(callback_context: CallbackContext) -> types.Content:
    """Answer with what was sent, and by which start."""
    state = callback_context.state.to_dict()
    sent = [f"{key} in {value}" for key, value in state.items() if key.startswith("sent to ")]
    return types.Content(role="model", parts=[types.Part(text=f"{len(sent)} invoices: {', '.join(sent)}.")])


agent = LlmAgent(
    name="invoices",
    model="gemini-flash-latest",
    instruction="Send one invoice to each customer. Ask for the customers first.",
    tools=[list_customers, send_invoice],
    after_agent_callback=receipt,
)
