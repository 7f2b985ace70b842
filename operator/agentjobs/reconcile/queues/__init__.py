"""AgentQueues.

policies    the current policy of each queue
reconciler  writes their status
feed        exchanges limits and costs with the model proxies
reporter    log lines and Events
"""
