"""How the control side speaks to the Kubernetes API: client, Lease elector, event recorder. Nothing is decided here."""
