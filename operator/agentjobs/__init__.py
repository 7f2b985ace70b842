"""AgentJobs: durable background jobs for AI agents on Kubernetes.

This package is the control side: operator, gateway, model proxy, notifier, dashboard and command line. The code inside
a job's pod is `agentjobs_runner`; both share only `agentjobs.contract`.
"""

__version__ = "0.1.0"
