"""The clients' side: each wire format that may come in, read into `gateway.messages` and written from it.

Pure: no I/O, no clock, no settings. Times and ids are given by the caller. A module that satisfies `base.Dialect`
holds one dialect: `openai_chat`, `completions`, `openai_responses`, `anthropic`, `ollama`, `ollama_generate` and
`unified` (which also takes embeddings and model lists). `embeddings` and `models` write what is not a chat;
`errors` the body of an error in each dialect. `reading` and `sse` are what they are built from.
"""
