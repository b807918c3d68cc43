"""What runs inside a box: the supervisor as process 1, and beneath it the user's program.

Standard library only, since this is copied into the sandbox images as it stands (Debian's python3). Two sides that
must not be mixed up:

- the supervisor's side, trusted: `supervisor` (the life of a box), `wire` (frames), `standby` (the child that waits
  for the job), `processes` (children and their end), `execution` (a job in the kernel's terms), `watch` (one execution,
  from its start to its end), `batch` (many of one program), `forking` (of its copies), `counters` (what the kernel
  counted), `verdicts` (what that comes to), `workdir` and `patterns` (files in and out);
- the user's side, in a child, where everything may be tampered with: `session` (the process from its first step to its
  end), `program` (compile, load, call), `arguments` (the input and the entry function), `results` (the value as JSON,
  repr, displays), `failures` (the exception), `randomness` (the numbers that a batch's inputs draw).

Every box imports all this anew and holds it while it waits, so what is costly and not needed is left out. `typing` is
for the type checker alone, and records are plain classes: with it and its NamedTuple the import would take 2 ms more.
For the same reason `ast` and `signal` are left out, and the C modules beneath them used (`_ast`, `signals`): all boxes
would wait for what few programs import. What most runs need of ours is imported before the box is ready: `traceback`,
for one, which only a failure needs.
"""
