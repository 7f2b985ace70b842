"""Generic level-triggered machinery: work queue, cache and controller. Knows keys and versions, no domain."""
