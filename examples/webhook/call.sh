#!/bin/sh
# Does what GitHub does when an issue is opened: call.sh NUMBER TITLE, with GATEWAY as `agentjobs dev` prints it.
set -eu
body=$(printf '{"action": "opened", "issue": {"number": %s, "title": "%s"}}' "$1" "$2")
signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$(cat /tmp/webhook-secret)" | sed 's/.*= //')
curl -sk "${GATEWAY:?}/v1/namespaces/default/triggers/triage-issue" \
  -H "X-Hub-Signature-256: sha256=$signature" -H "Content-Type: application/json" -d "$body"
