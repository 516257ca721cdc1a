// Runs a table of cases through an interpreter of the States Language that is
// not ours, and tells what became of each. Cases are read from standard input,
// outcomes are written to standard output, both as JSON.
//
// Time is virtual: a timer fires when nothing else is left to do, so that
// hours of backoff pass at once and can be compared to the second.

const epoch = Date.UTC(2000, 0, 1); // where a testing/synctest bubble begins
let now = epoch, ids = 0;
const timers = new Map();

globalThis.setTimeout = (fn, ms = 0, ...args) => {
  const id = ++ids;
  timers.set(id, { at: now + Math.max(0, ms), id, fn: () => fn(...args) });
  return id;
};
globalThis.clearTimeout = (id) => timers.delete(id);
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...args) { args.length ? super(...args) : super(now); }
  static now() { return now; }
};
// Node has it from 22 on.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((ok, no) => { resolve = ok; reject = no; });
  return { promise, resolve, reject };
};

// It calls a task before it reads the task's limit: a bad limit leaves the call
// to itself.
process.on('unhandledRejection', () => {});

const { StateMachine, ExecutionTimeoutError } = await import('aws-local-stepfunctions');

const idle = () => new Promise((resolve) => setImmediate(resolve));

/** Waits for a promise and lets time pass only while nothing else happens. */
async function passing(promise) {
  let settled = false;
  const watch = promise.then(() => (settled = true), () => (settled = true));
  for (;;) {
    await idle();
    if (settled) return watch;
    const next = [...timers.values()].sort((a, b) => a.at - b.at || a.id - b.id)[0];
    if (!next) throw new Error('the execution waits for nothing');
    timers.delete(next.id);
    now = next.at;
    next.fn();
  }
}

const sorted = (v) => v && typeof v === 'object' && !Array.isArray(v)
  ? Object.fromEntries(Object.keys(v).sort().map((k) => [k, v[k]])) : v;
const canonical = (v) => JSON.stringify(v, (_, v) => sorted(v));

/** A task's answers: the first that fits and is not used up, else the last that fits. */
function answer(answers, used, input) {
  const fitting = answers.filter((a) => !('for' in a) || canonical(a.for) === canonical(input));
  const chosen = fitting.find((a) => (used.get(a) ?? 0) < (a.times ?? 1)) ?? fitting.at(-1);
  if (!chosen) return { error: 'Unscripted', cause: canonical(input) };
  used.set(chosen, (used.get(chosen) ?? 0) + 1);
  return chosen;
}

const key = (resource) => resource.split(':').slice(6).join(':');

function* tasksOf(machine) {
  for (const [name, state] of Object.entries(machine.States)) {
    if (state.Type === 'Task') yield [name, key(state.Resource)];
    for (const branch of state.Branches ?? []) yield* tasksOf(branch);
    if (state.ItemProcessor) yield* tasksOf(state.ItemProcessor);
  }
}

async function run({ definition, input, tasks, context, validate }) {
  now = epoch;
  timers.clear();
  const outcome = { path: [], calls: {} };
  let machine;
  try {
    // Its validator takes a tenth of a second, and writes into what it is given.
    machine = new StateMachine(structuredClone(definition), { validationOptions: { noValidate: !validate } });
  } catch {
    return { refused: true };
  }
  const used = new Map();
  const handlers = {};
  for (const [state, task] of tasksOf(definition)) {
    handlers[state] = async (input) => {
      (outcome.calls[task] ??= []).push(structuredClone(input ?? null));
      const a = answer(tasks?.[task] ?? [], used, input);
      if (a.seconds) await new Promise((resolve) => setTimeout(resolve, a.seconds * 1000));
      if ('error' in a) throw Object.assign(new Error(a.cause ?? ''), { name: a.error });
      return structuredClone('result' in a ? a.result : input);
    };
  }
  const execution = machine.run(input, { overrides: { taskResourceLocalHandlers: handlers }, context });
  const events = (async () => {
    for await (const event of execution.eventLogs) {
      if (event.type === 'StateEntered') outcome.path.push(event.state.name);
    }
  })();
  const result = execution.result.then(
    (output) => { outcome.output = output === undefined ? null : output; },
    (error) => {
      const cause = error instanceof ExecutionTimeoutError ? { name: 'States.Timeout' } : error.cause ?? error;
      outcome.error = cause.name;
      if (!cause.name.startsWith('States.')) outcome.cause = cause.message;
    },
  ).then(() => { outcome.seconds = (now - epoch) / 1000; });
  await passing(result);
  await idle();
  await Promise.race([events, idle()]);
  return outcome;
}

let text = '';
for await (const chunk of process.stdin) text += chunk;
const outcomes = [];
for (const c of JSON.parse(text)) {
  try {
    outcomes.push(await run(c));
  } catch (error) {
    throw new Error(`${c.name}: ${error.stack}`);
  }
}
process.stdout.write(JSON.stringify(outcomes));
