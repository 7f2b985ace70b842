// An agent in Node.js (18 or newer, no packages): everything that a program must do to run as `agent.container`.
// It calls the job's model through the model proxy. Without a proxy or a model, it answers with its input.
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { setTimeout as sleep } from "node:timers/promises";

const { AGENTJOBS_GATEWAY_URL: gatewayUrl, AGENTJOBS_MODELS_URL: modelsUrl, ...env } = process.env;
const ca = env.AGENTJOBS_GATEWAY_CA && readFileSync(env.AGENTJOBS_GATEWAY_CA);
const EXIT_CODES = { Succeed: 0, Retry: 70, Snooze: 75, Cancel: 77, Fail: 78 };
let uid = ""; // the job's, once the gateway has told it

// How a start ends; thrown as soon as it is known.
const ending = (verdict, reason, message, delaySeconds = null) => ({ verdict, reason, message, delaySeconds, result: null });

// One request. The token's file is read each time, because the kubelet renews it.
function send(method, url, body, timeout) {
  const authorization = `Bearer ${readFileSync(env.AGENTJOBS_TOKEN_FILE, "utf8").trim()}`;
  const options = { method, timeout, ca, agent: false, headers: { authorization, "content-type": "application/json" } };
  return new Promise((resolve, reject) => {
    const request = (url.startsWith("https:") ? https : http).request(url, options, async (answer) => {
      let text = "";
      try {
        for await (const part of answer.setEncoding("utf8")) text += part;
        resolve({ status: answer.statusCode, wait: Number(answer.headers["retry-after"]) || 0, text });
      } catch (error) { reject(error); }
    });
    request.on("timeout", () => request.destroy(new Error("no answer in time"))).on("error", reject);
    request.end(body && JSON.stringify(body));
  });
}

// A request to the gateway, repeated for two minutes while it is unavailable.
async function gateway(method, path, body) {
  const until = Date.now() + 120_000;
  for (let pause = 250; ; pause = Math.min(pause * 2, 5_000)) {
    const { status, wait = 0, text } = await send(method, gatewayUrl + path, body, 15_000).catch((error) => ({ text: error.message }));
    if (status === 204) return null;
    if (status === 200 && text.startsWith("{")) return JSON.parse(text); // any other 200 is not the gateway's
    if (status === 409) process.exit(76); // another pod holds this start: exit without a report
    if ([400, 405, 413, 422].includes(status)) throw ending("Retry", "ResultError", `${path} was refused: ${text}`);
    const rest = Math.max(pause, Math.min(wait, 60) * 1_000);
    if (Date.now() + rest > until) throw ending("Snooze", "JournalUnavailable", `${path}: ${text}`, 30);
    await sleep(rest);
  }
}

async function answer({ agent, input }) {
  if (!modelsUrl || !agent.model) return { text: input.message, structured: null, usage: {} };
  const question = { model: agent.model.replace("openai/", ""), messages: [{ role: "user", content: input.message }] };
  const { status, wait, text } = await send("POST", `${modelsUrl}/openai/v1/chat/completions`, question, 900_000)
    .catch((error) => { throw ending("Retry", "ModelUnavailable", error.message); });
  const [, reason] = /"agentjobs\.dev\/(\w+)/.exec(text) ?? []; // the proxy's own refusals contain their class
  if (status === 429) throw ending("Snooze", "ModelRateLimited", text, wait || 30);
  if (status !== 200) throw ending(status >= 500 ? "Retry" : "Fail", reason ?? (status >= 500 ? "ModelUnavailable" : "ModelBadRequest"), text);
  const { choices: [choice], usage } = JSON.parse(text);
  if (choice.finish_reason !== "stop") throw ending("Fail", "ModelOutputTruncated", `the model stopped for ${choice.finish_reason}`);
  const used = { llmCalls: 1, inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens };
  return { text: choice.message.content, structured: null, usage: used };
}

// The termination message, by which the operator decides. A kubelet may keep only 1536 bytes, so texts are cut.
function leave({ verdict, reason, message, delaySeconds, result }) {
  const head = (text) => Array.from(text.slice(0, 200)).slice(0, 100).join("");
  const word = { agentjobs: 1, verdict, reason, start: Number(env.AGENTJOBS_START), uid, message: head(message) };
  const more = { summary: head(result?.text ?? ""), outcome: result?.outcome ?? undefined, delaySeconds: delaySeconds ?? undefined };
  writeFileSync(env.AGENTJOBS_TERMINATION_FILE, JSON.stringify({ ...word, ...more }));
  process.exit(EXIT_CODES[verdict]);
}

// The first report counts: the job's final result may be that of another start.
async function report(end) {
  const { final } = await gateway("PUT", "/v1/attempt/result", end);
  return final ? { ...end, verdict: "Succeed", reason: "ResultAccepted", delaySeconds: null, result: final } : end;
}

process.on("SIGTERM", () => leave(ending("Snooze", "Interrupted", "told to stop", 5)));
try {
  const attempt = await gateway("GET", "/v1/attempt"); // the claim
  uid = attempt.uid;
  if (attempt.result) leave({ ...ending("Succeed", "ResultAccepted", "the job has its result already"), result: attempt.result });
  (async () => { for (;;) await sleep(10_000), await gateway("POST", "/v1/attempt/heartbeat", {}).catch(() => {}); })();
  const end = await answer(attempt.resolved.spec).then(
    (result) => ({ ...ending("Succeed", "ResultAccepted", "answered"), result }),
    (error) => (error.verdict ? error : ending("Retry", "AgentError", String(error.message))));
  leave(await report(end));
} catch (error) {
  leave(error.verdict ? error : ending("Retry", "AgentError", String(error.message)));
}
