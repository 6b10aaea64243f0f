// A client of the worker protocol (../../worker.md) for Node.js 20 and later. It can be taken elsewhere, with worker.proto.
"use strict";

const net = require("node:net");
const path = require("node:path");
const { inspect } = require("node:util");
const protobuf = require("protobufjs");

// types holds every message that is known; a node adds its own. Those of Google's come with protobufjs.
const types = new protobuf.Root().loadSync([
  path.join(__dirname, "../../../../proto/kre/worker/v1/worker.proto"),
  ...["any", "struct", "wrappers"].map((name) => `google/protobuf/${name}.proto`),
]);
const Any = types.lookupType("google.protobuf.Any");
const ToWorker = types.lookupType("kre.worker.v1.ToWorker");
const FromWorker = types.lookupType("kre.worker.v1.FromWorker");
const Kind = types.lookupEnum("kre.worker.v1.Kind").values;
const Level = types.lookupEnum("kre.worker.v1.Level").values;
const Outcome = types.lookupEnum("kre.worker.v1.End.Outcome").values;

// FinalError says that no repeating helps. Its code is one of google.rpc.Code; 0 stands for INTERNAL.
class FinalError extends Error {
  constructor(text, { code = 0, cause } = {}) {
    super(text, { cause });
    this.code = code;
  }
}

// typed makes a handler (ctx, message) => answer, which takes ordinary messages of one type only.
const typed = (type, handle) => ({ type, handle });

// create returns a message, to be sent.
const create = (type, fields) => types.lookupType(type).create(fields);

// unpack returns the message in an Any, which has to be of that type.
function unpack(any, type) {
  const received = any.type_url.split("/").pop() || "a message without a type";
  if (received !== type) throw new Error(`expected ${type}, received ${received}`);
  return types.lookupType(type).decode(any.value);
}

function pack(message) {
  if (!(message instanceof protobuf.Message)) throw new TypeError(`only messages can be sent, not ${inspect(message)}`);
  const { $type } = message;
  const value = $type.encode(message).finish();
  return $type === Any ? value : Any.encode({ type_url: `type.googleapis.com/${$type.fullName.slice(1)}`, value }).finish();
}

// run begins to serve: init(ctx), if there is one, and then one handler per run. `handlers` is a Map from a sender's name to
// the handler of what it sends; that of all others is under "". A handler is made by typed, or a function (ctx, any) that takes
// messages of every kind. All of them may be async.
function run({ init, handlers }) {
  const root = process.env.KRE_PACKAGE;
  // Node.js has made the descriptor close-on-exec before anything else, as it does with all low ones that it inherits.
  const socket = new net.Socket({ fd: Number(process.env.KRE_WORKER_FD), readable: true, writable: true });
  delete process.env.KRE_WORKER_FD;
  const values = new Map();
  const waiting = []; // runs that have not begun
  let running = 0;
  let stopped = false;
  let hello;

  let rest = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (let end; rest.length >= 4 && rest.length >= (end = 4 + rest.readUInt32BE()); rest = rest.subarray(end)) {
      const message = ToWorker.decode(rest.subarray(4, end));
      if (message.hello) start(message.hello);
      if (message.run) waiting.push(message.run);
      if (message.stop) stopped = true;
      next();
    }
  });
  socket.on("close", () => process.exit(1)); // the runner is gone

  function write(frame) {
    const body = FromWorker.encode(frame).finish();
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    socket.write(Buffer.concat([length, body])); // never waits
  }

  // What it throws is a rejection that nobody handles: Node.js prints it and ends the process with code 1.
  async function start(asked) {
    hello = asked;
    if (hello.protocol !== 1) throw new Error(`the runner speaks version ${hello.protocol} of the worker protocol, not 1`);
    if (!handlers.size) throw new Error(`node ${hello.node} has no handlers`);
    await init?.(context());
    write({ ready: { protocol: 1, runtime: `Node.js ${process.versions.node}` } });
    context().log("info", "ready");
  }

  function next() {
    while (!stopped && waiting.length && running < hello.concurrency) {
      const message = waiting.shift();
      const expires = Number(message.expiresUnixUs); // 0: never
      if (expires && Date.now() * 1000 >= expires) write({ end: { run: message.run, outcome: Outcome.OUTCOME_NOT_BEGUN } });
      else begin(message);
    }
    if (!stopped) return;
    for (const { run } of waiting.splice(0)) write({ end: { run, outcome: Outcome.OUTCOME_NOT_BEGUN } });
    if (!running) socket.end(() => process.exit(0)); // once everything is written
  }

  async function begin(message) {
    running++;
    const ctx = context(message);
    const end = { run: message.run, outcome: Outcome.OUTCOME_DONE };
    try {
      const { type, handle } = choose(handlers, message.sender);
      if (type && !ctx.isOk) {
        end.outcome = ctx.isError ? Outcome.OUTCOME_FORWARDED : Outcome.OUTCOME_IGNORED;
      } else {
        const argument = argumentOf(type, message);
        const began = performance.now();
        try {
          const answer = await handle(ctx, argument);
          if (type && answer) ctx.sendOutput(answer);
        } finally {
          end.handlerUs = Math.round((performance.now() - began) * 1000);
        }
      }
      if (ctx.failure) throw ctx.failure; // even if the handler has caught it
    } catch (thrown) {
      const error = ctx.failure ?? thrown;
      end.outcome = error instanceof FinalError ? Outcome.OUTCOME_FINAL : Outcome.OUTCOME_FAILED;
      end.code = error instanceof FinalError ? error.code : 0;
      Object.assign(end, { error: textOf(error), where: whereOf(error, root), stack: stackOf(error) });
    }
    ctx.over = true;
    write({ end });
    running--;
    setImmediate(next); // gives way to the socket: what has come meanwhile may be Stop
  }

  // context returns what init, or the handler of a run, knows and does.
  function context(message) {
    const { kind, requestId, messageId, attempt, sender, deadlineUnixUs } = message ?? {};
    const send = (outputKind, output, channel = "") => {
      if (!message || ctx.over) throw new Error("nothing can be sent where no run is under way");
      const body = pack(output);
      if (body.length > Number(hello.maxOutputBytes)) {
        ctx.failure ??= new FinalError(`an output has ${body.length} bytes; at most ${hello.maxOutputBytes} can be sent`);
        throw ctx.failure;
      }
      write({ output: { run: message.run, kind: outputKind, channel, body } });
    };
    const ctx = {
      version: hello.version, workflow: hello.workflow, node: hello.node, requestId, messageId, attempt, sender,
      deadline: Number(deadlineUnixUs) ? new Date(Number(deadlineUnixUs) / 1000) : undefined,
      isOk: kind === Kind.KIND_OK, isError: kind === Kind.KIND_ERROR,
      isEarlyReply: kind === Kind.KIND_EARLY_REPLY, isEarlyExit: kind === Kind.KIND_EARLY_EXIT,
      values, // a Map that init and all runs share
      path: (relative) => path.join(root, relative),
      sendOutput: (output, channel) => send(Kind.KIND_OK, output, channel),
      sendEarlyReply: (output, channel) => send(Kind.KIND_EARLY_REPLY, output, channel),
      sendEarlyExit: (output, channel) => send(Kind.KIND_EARLY_EXIT, output, channel),
      log: (name, text, error) => { // name: debug, info, warn or error
        const level = Level[`LEVEL_${name.toUpperCase()}`];
        const told = error === undefined ? {} : { error: textOf(error), stack: stackOf(error) };
        const log = { timeUnixNs: Date.now() * 1e6, level, message: clean(text), requestId, messageId, attempt, ...told };
        if (level >= hello.logLevel) write({ log });
      },
    };
    return ctx;
  }
}

function choose(handlers, sender) {
  const handler = handlers.get(sender) ?? handlers.get("");
  if (!handler) throw new FinalError(`no handler for what ${sender} sent`);
  return typeof handler === "function" ? { handle: handler } : handler;
}

// argumentOf returns what a handler takes of a run: the Any, or what is in it where the handler has a type.
function argumentOf(type, { body, sender }) {
  let expected = "google.protobuf.Any";
  try {
    const any = Any.decode(body);
    expected = type ?? expected;
    return type ? unpack(any, type) : any;
  } catch (cause) {
    throw new FinalError(`what ${sender} sent is no ${expected}: ${cause.message}`, { cause });
  }
}

// textOf tells a caller what was thrown, which may be anything.
function textOf(thrown) {
  try {
    if (!(thrown instanceof Error)) return clean(`${inspect(thrown)} was thrown`);
    const name = thrown instanceof FinalError ? "" : thrown.name;
    return clean([name, thrown.message].filter(Boolean).join(": ")) || "final error";
  } catch {
    return "an error that cannot be told";
  }
}

function stackOf(thrown) {
  try {
    return clean(inspect(thrown)); // causes included
  } catch {
    return "";
  }
}

// whereOf returns the innermost place in the author's code.
function whereOf(thrown, root) {
  for (const [, file, line] of stackOf(thrown).matchAll(/^ +at (?:async )?(?:.* \()?(?:file:\/\/)?(\/.+?):(\d+):\d+/gm)) {
    const relative = path.relative(root, file);
    if (file !== __filename && !/^\.\.\/|(^|\/)node_modules\//.test(relative)) return `${relative}:${line}`;
  }
  return "";
}

// clean returns valid UTF-8, and so little of it that three texts fit into a frame.
function clean(text, longest = 200 * 1024) {
  const whole = String(text);
  return (whole.length > longest ? `${whole.slice(0, longest)}… and ${whole.length - longest} more` : whole).toWellFormed();
}

module.exports = { run, typed, create, unpack, types, FinalError };
