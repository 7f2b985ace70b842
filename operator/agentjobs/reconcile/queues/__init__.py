"""AgentQueues.

policies    what each queue allows at this moment
reconciler  writes their status
feed        what proxies are told of limits, and tell of cost
story       log lines and Events
"""
