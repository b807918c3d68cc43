"""The clients' side: each wire format that may come in, read into `gateway.messages` and written from it.

Pure: no I/O, no clock, no settings. Times and ids are given by the caller. A module that satisfies `base.Dialect`
holds one dialect: `openai_chat`, `completions`, `openai_responses`, `anthropic`, `ollama`, `ollama_generate` and
`unified` (which also takes embeddings and model lists). `embeddings` and `models` write what is not a chat;
`errors` the body of an error in each dialect. What they are built from: `reading` (strict JSON, complaints with
their places, and what is left out), `openai_messages`, `openai_answers` and `openai_options` (shared by all that speak
in OpenAI's names), `custom_tools` and `tool_names` (tools that providers see in another form than the client), `blocks`
(deltas put in order for dialects that know one thing at a time), `sse` (frames). `envelope` looks at bodies that go
through as they are.
"""
