// What the code pane offers to begin with. `image` names the sandbox image that it needs, if not the default one.

export const EXAMPLES = [
  {
    name: "Hello",
    code: `import time

for number in range(1, 6):
    print(f"{number} squared is {number ** 2}", flush=True)
    time.sleep(0.2)

sum(range(101))
`,
  },
  {
    name: "Plot",
    image: "data",
    code: `import numpy as np
import matplotlib.pyplot as plt

x = np.linspace(0, 4 * np.pi, 400)
plt.figure(figsize=(7, 3.2))
plt.plot(x, np.sin(x), label="sin")
plt.plot(x, np.sin(x) * np.exp(-x / 6), label="damped")
plt.legend()
plt.title("Drawn in a sandbox");
`,
  },
  {
    name: "Table",
    image: "data",
    code: `import pandas as pd

pd.DataFrame({
    "model": ["small", "medium", "large"],
    "tokens": [1200, 5400, 16000],
    "seconds": [0.8, 2.1, 6.4],
})
`,
  },
  {
    name: "Limits at work",
    code: `# A limit ends the run, and the verdict says which one. Press Run.
blocks = []
while True:
    blocks.append(bytearray(16 * 1024 * 1024))
    print(f"{len(blocks) * 16} MB", flush=True)
`,
  },
];
