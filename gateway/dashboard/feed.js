// The live feed: one stream that carries everything the page shows, begun again whenever it breaks.

import { call, events } from "./session.js";

const SILENCE_MS = 25000; // the gateway sends something every 10 s

/** Follow the gateway over a window; `tell(event, data)` gets each event, `connected` and `broken` among them. */
export class Feed {
  #tell;
  #window;
  #stop = null;

  constructor(tell) {
    this.#tell = tell;
  }

  /** Follow over this window from now on. */
  follow(span) {
    this.#window = span;
    this.#stop?.abort();
    this.#stop = new AbortController();
    this.#run(this.#stop.signal);
  }

  async #run(signal) {
    for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 10000)) {
      try {
        await this.#read(signal, () => (wait = 500));
        this.#tell("broken", "the gateway ended the feed");
      } catch (error) {
        if (signal.aborted) return;
        this.#tell("broken", error);
        if (error.status === 403) return;
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async #read(signal, wake) {
    const silence = new AbortController();
    const either = AbortSignal.any([signal, silence.signal]);
    const answer = await call(`/api/logs/stream?window=${this.#window}`, { signal: either });
    this.#tell("connected");
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const heard = new TransformStream({
      transform(piece, controller) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        controller.enqueue(piece);
      },
    });
    try {
      for await (const { event, data } of events({ body: answer.body.pipeThrough(heard) })) {
        wake();
        this.#tell(event, JSON.parse(data));
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
