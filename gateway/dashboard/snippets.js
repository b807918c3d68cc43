// Programs to copy. Each is given the base URL, a model, and whether a key is wanted; none ever holds a key itself.

const quoted = (text) => JSON.stringify(text);
const header = (auth) => (auth ? ` \\\n  -H "authorization: Bearer $SANDGATE_KEY"` : "");
const shell = (value) => `'${JSON.stringify(value).replaceAll("'", "'\\''")}'`;
const post = (url, body, auth, flags = "") => `curl ${flags}${url} -H 'content-type: application/json'${header(auth)} \\\n  -d ${shell(body)}`;
const hello = [{ role: "user", content: "Hello" }];
const code = "print('hi')\n6 * 7";

const pythonClient = ({ base, auth }) => `${auth ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${quoted(`${base}/v1`)}, api_key=${auth ? 'os.environ["SANDGATE_KEY"]' : '"unused"'})
`;
const scriptClient = ({ base, auth }) => `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${quoted(`${base}/v1`)}, apiKey: ${auth ? "process.env.SANDGATE_KEY" : '"unused"'} });
`;

export const SNIPPETS = {
  chat: {
    label: "Chat",
    curl: ({ base, model, auth }) => post(`${base}/v1/chat/completions`, { model, messages: hello }, auth),
    python: (given) => `${pythonClient(given)}reply = client.chat.completions.create(
    model=${quoted(given.model)},
    messages=[{"role": "user", "content": "Hello"}],
)
print(reply.choices[0].message.content)`,
    javascript: (given) => `${scriptClient(given)}const reply = await client.chat.completions.create({
  model: ${quoted(given.model)},
  messages: [{ role: "user", content: "Hello" }],
});
console.log(reply.choices[0].message.content);`,
  },
  stream: {
    label: "Chat, streamed",
    curl: ({ base, model, auth }) => post(`${base}/v1/chat/completions`, { model, messages: hello, stream: true }, auth, "-N "),
    python: (given) => `${pythonClient(given)}stream = client.chat.completions.create(
    model=${quoted(given.model)},
    messages=[{"role": "user", "content": "Hello"}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`,
    javascript: (given) => `${scriptClient(given)}const stream = await client.chat.completions.create({
  model: ${quoted(given.model)},
  messages: [{ role: "user", content: "Hello" }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");`,
  },
  execute: {
    label: "Run code",
    curl: ({ base, auth }) => post(`${base}/execute`, { code }, auth),
    python: ({ base, auth }) => `${auth ? "import os\n\n" : ""}import httpx

run = httpx.post(
    ${quoted(`${base}/execute`)},${auth ? '\n    headers={"authorization": f"Bearer {os.environ[\'SANDGATE_KEY\']}"},' : ""}
    json={"code": "print('hi')\\n6 * 7"},
    timeout=90,
).json()
print(run["status"], run["stdout"], run["result"])`,
    javascript: ({ base, auth }) => `const answer = await fetch(${quoted(`${base}/execute`)}, {
  method: "POST",
  headers: { "content-type": "application/json"${auth ? ", authorization: `Bearer ${process.env.SANDGATE_KEY}`" : ""} },
  body: JSON.stringify({ code: "print('hi')\\n6 * 7" }),
});
const run = await answer.json();
console.log(run.status, run.stdout, run.result);`,
  },
};
