"""The numeric packages work under the shipped profile and limits, in real boxes of the data image."""

from collections.abc import Iterator

import pytest

from tests.attacks.box import BASE, IMAGES, Box, Boxes, policy_of, run_in_box
from tests.pacing import PATIENCE

pytestmark = pytest.mark.docker
DATA = policy_of(image="data", reference=IMAGES["data"])


@pytest.fixture(scope="module")
def boxes() -> Iterator[Boxes]:
    boxes = Boxes(DATA, ahead=1)
    yield boxes
    assert boxes.close() == []


def test_linear_algebra_in_threads(boxes: Boxes) -> None:
    code = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
a = np.random.default_rng(1).random((200, 200))
with ThreadPoolExecutor(4) as pool:
    close = list(pool.map(lambda _: np.allclose(a @ np.linalg.inv(a), np.eye(200)), range(4)))
all(close)
"""
    told = boxes.run(code, timeout_seconds=PATIENCE)
    assert (told.status, told.result) == ("ok", True)


def drawn_in_a_batch(boxes: Boxes, loading: str) -> list[float]:
    code = f"import numpy as np\n{loading}\ndef f(a): return float(np.random.random())"
    told = boxes.run(code, inputs=[1, 2], timeout_seconds=PATIENCE)
    return [verdict["result"] for verdict in told.verdicts]


@pytest.mark.parametrize("loading", ["", "np.random.random()", "np.random.seed()"])
def test_inputs_draw_different_numbers_of_numpy(boxes: Boxes, loading: str) -> None:
    one, two = drawn_in_a_batch(boxes, loading)
    assert one != two


@pytest.mark.parametrize(
    "loading",
    [
        "np.random.seed(7)",
        "np.random.set_state(np.random.RandomState(7).get_state())",
        "from numpy.random import *; seed(7)",
    ],
)
def test_a_chosen_seed_of_numpy_holds_for_each_input(boxes: Boxes, loading: str) -> None:
    one, two = drawn_in_a_batch(boxes, loading)
    assert one == two


@pytest.mark.parametrize(("loading", "same"), [("", False), ("np.random.seed(7)", True)])
def test_numpy_that_the_program_imports_itself_is_seeded_alike(loading: str, same: bool) -> None:
    box = Box(DATA, environment={"SANDBOX_PREIMPORT": ""})
    try:
        told = box.run(
            f"import numpy as np\n{loading}\ndef f(a): return float(np.random.random())",
            inputs=[1, 2],
            timeout_seconds=PATIENCE,
        )
    finally:
        box.remove()
    one, two = (verdict["result"] for verdict in told.verdicts)
    assert (one == two) is same


def test_more_cpus_mean_more_threads() -> None:
    code = """
import os, numpy as np
a = np.ones((500, 500))
[float((a @ a)[0, 0]), os.environ["OMP_NUM_THREADS"], os.cpu_count()]
"""
    policy = policy_of(image="data", reference=IMAGES["data"], cpus=2.0, memory_mb=512)
    assert run_in_box(code, policy, timeout_seconds=PATIENCE).result == [500.0, "2", 2]


def test_tables_are_read_grouped_and_displayed(boxes: Boxes) -> None:
    code = """
import io, pandas as pd
table = pd.read_csv(io.StringIO("k,v\\na,1\\na,2\\nb,5\\n")).groupby("k").sum()
table
"""
    told = boxes.run(code, timeout_seconds=PATIENCE)
    assert told.status == "ok"
    assert [display["mime"] for display in told.displays] == ["text/html"]
    assert "<table" in told.displays[0]["data"]
    assert told.verdict["result_repr"].split() == ["v", "k", "a", "3", "b", "5"]


def test_open_figures_are_displayed_and_showing_is_silent(boxes: Boxes) -> None:
    code = """
import matplotlib.pyplot as plt
for n in range(2):
    plt.figure(); plt.plot([1, n]); plt.title("é")
plt.savefig("plot.png")
plt.show()
"""
    told = boxes.run(code, outputs=["*.png"], timeout_seconds=PATIENCE)
    assert (told.status, told.stderr, told.result) == ("ok", "", None)
    assert [display["mime"] for display in told.displays] == ["image/png"] * 2
    assert told.displays[0]["data"].startswith("iVBOR")
    assert told.files[0]["mime"] == "image/png"


def test_a_figure_that_is_shown_is_displayed_at_once_and_closed(boxes: Boxes) -> None:
    code = """
import matplotlib.pyplot as plt, time
plt.plot([1, 2])
plt.show()
print(plt.get_fignums(), end="")
time.sleep(0.3)
plt.plot([2, 1])
print("drawn", end="")
"""
    told = boxes.run(code, timeout_seconds=PATIENCE)
    assert (told.status, told.stdout, told.stderr) == ("ok", "[]drawn", "")
    assert [kind for kind in told.kinds if kind in "DO"] == ["D", "O", "O", "D"]


def test_a_figure_that_is_shown_elsewhere_stays_open(boxes: Boxes) -> None:
    code = """
import matplotlib.pyplot as plt, os, threading
plt.plot([1, 2])
thread = threading.Thread(target=plt.show); thread.start(); thread.join()
if os.fork(): os.wait()
else: plt.show(); os._exit(0)
print(plt.get_fignums(), end="")
"""
    told = boxes.run(code, timeout_seconds=PATIENCE)
    assert (told.status, told.stdout, told.stderr, len(told.displays)) == ("ok", "[1]", "", 1)


@pytest.mark.parametrize("end", ["import sys; sys.exit(3)", "1 / 0", "plt.show(); import os; os._exit(0)"])
def test_figures_are_displayed_however_the_code_ends(boxes: Boxes, end: str) -> None:
    told = boxes.run(f"import matplotlib.pyplot as plt\nplt.plot([1])\n{end}", timeout_seconds=PATIENCE)
    assert [display["mime"] for display in told.displays] == ["image/png"]


def test_each_input_of_a_batch_shows_its_own_figures(boxes: Boxes) -> None:
    code = "from matplotlib.pyplot import *\nplot([0]); show()\ndef f(a): plot([a]); show(); return get_fignums()"
    told = boxes.run(code, inputs=[1, 2], timeout_seconds=PATIENCE)
    assert [verdict["result"] for verdict in told.verdicts] == [[], []]
    assert told.kinds.count("D") == 2
    assert told.kinds.index("D") > told.kinds.index("B", 1), told.kinds


def test_a_warning_about_a_figure_does_not_name_the_runner(boxes: Boxes) -> None:
    told = boxes.run("import matplotlib.pyplot as plt\nplt.title('\u4e2d')", timeout_seconds=PATIENCE)
    assert told.stderr.startswith("UserWarning: Glyph 20013"), told.stderr
    assert told.stderr.count("\n") == 1


def test_a_figure_as_the_result_is_displayed_once(boxes: Boxes) -> None:
    code = "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\nfigure"
    told = boxes.run(code, timeout_seconds=PATIENCE)
    assert [display["mime"] for display in told.displays] == ["image/png"]


def test_processes_databases_and_pythons_of_their_own(boxes: Boxes) -> None:
    code = """
import multiprocessing, sqlite3, subprocess, sys
import numpy as np
with multiprocessing.Pool(3) as pool:
    sums = pool.map(np.sum, [np.ones(10)] * 3)
with sqlite3.connect("a.db") as base:
    base.execute("create table t (a)"); base.execute("insert into t values (1)")
program = "import matplotlib.pyplot as plt; plt.plot([1]); plt.savefig('p.png'); print('drawn')"
done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
[[float(s) for s in sums], base.execute("select a from t").fetchall(), done.stdout, done.stderr]
"""
    told = boxes.run(code, timeout_seconds=PATIENCE)
    assert (told.status, told.result) == ("ok", [[10.0] * 3, [[1]], "drawn\n", ""])


def test_pictures_and_formulas_are_displayed(boxes: Boxes) -> None:
    told = boxes.run("from PIL import Image\nImage.new('RGB', (2, 2))")
    assert [display["mime"] for display in told.displays] == ["image/png"]
    code = "import scipy.optimize, sympy\nx = sympy.Symbol('x')\nsympy.integrate(x)"
    told = boxes.run(code, timeout_seconds=PATIENCE)
    assert [display["mime"] for display in told.displays] == ["text/latex"]


def test_the_base_image_has_none_of_them() -> None:
    assert run_in_box("import numpy", BASE).error["module"] == "numpy"
