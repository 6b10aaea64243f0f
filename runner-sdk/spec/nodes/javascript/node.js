// The JavaScript node that the conformance suite drives. ../README.md says what it does.
"use strict";

const fs = require("node:fs");
const { setTimeout: sleep } = require("node:timers/promises");
const protobuf = require("protobufjs");
const { run, typed, create, unpack, types, FinalError } = require("./worker.js");

const STRING = "google.protobuf.StringValue";
const text = (value) => create(STRING, { value });

protobuf.parse(`
  syntax = "proto3";
  package google.rpc;
  message Status { int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3; }
`, types);

function init(ctx) {
  if (process.env.CONFORMANCE_INIT) fs.writeFileSync(process.env.CONFORMANCE_INIT, "");
  ctx.values.set("greeting", "hello");
}

async function follow(ctx, any) {
  if (ctx.isError) {
    const { message } = unpack(any, "google.rpc.Status");
    if (message === "etl: refuse this") throw new Error("cannot handle errors");
    if (message === "etl: ignore this") return;
    if (message === "etl: reply early") return ctx.sendEarlyReply(text("sorry"));
    ctx.sendOutput(text(`error: ${message}`));
  } else if (ctx.isOk) {
    const { steps } = plain({ structValue: unpack(any, "google.protobuf.Struct") });
    for (const step of steps) await take(ctx, step);
  } else {
    ctx.sendOutput(text(`${ctx.isEarlyExit ? "early exit" : "early reply"}: ${unpack(any, STRING).value}`));
  }
}

// plain turns a google.protobuf.Value into what JSON would give.
function plain({ structValue, listValue, ...scalar }) {
  if (structValue) return Object.fromEntries(Object.entries(structValue.fields).map(([name, value]) => [name, plain(value)]));
  return listValue ? listValue.values.map(plain) : Object.values(scalar)[0];
}

async function take(ctx, { channel, until, ...step }) {
  const [[name, value]] = Object.entries(step);
  switch (name) {
    case "send":
      return ctx.sendOutput(text(value), channel);
    case "send_many":
      for (let i = 0; i < value; i++) ctx.sendOutput(text(String(i)));
      return;
    case "send_bytes":
      return ctx.sendOutput(create("google.protobuf.BytesValue", { value: Buffer.alloc(value) }));
    case "early_reply":
      return ctx.sendEarlyReply(text(value), channel);
    case "early_exit":
      return ctx.sendEarlyExit(text(value), channel);
    case "tell":
      return ctx.sendOutput(text([ctx.values.get("greeting"), ctx.requestId, ctx.messageId, ctx.attempt,
        ctx.path("models/m"), ctx.isOk].join(" ")));
    case "fail":
      if (until && ctx.attempt >= until) return;
      throw new Error(value);
    case "final":
      throw new FinalError(value);
    case "refuse":
      throw new FinalError(value, { code: 3 }); // INVALID_ARGUMENT
    case "fail_half":
      throw new Error(`${value}\ud83d`);
    case "log":
      return ["debug", "info", "warn", "error"].forEach((level) => ctx.log(level, value));
    case "panic":
      throw new RangeError(value);
    case "leave":
      throw undefined; // nothing in the language leaves a handler more quietly
    case "end":
      return process.exit(1);
    case "touch":
      return fs.writeFileSync(value, "");
    case "hold":
      return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, value * 1000);
    case "wait_for":
      while (!fs.existsSync(value)) await sleep(10);
  }
}

const untyped = new Map([
  ["", follow],
  ["etl", (ctx) => ctx.sendOutput(text("by etl"))],
]);

const forms = {
  untyped: { init, handlers: untyped },
  typed: {
    handlers: new Map([
      ["", typed(STRING, (ctx, { value }) => (value ? text(`typed: ${value}`) : undefined))],
      ["etl", typed("google.protobuf.BoolValue", (ctx, { value }) => text(`by etl: ${value}`))],
    ]),
  },
};

run(forms[process.env.CONFORMANCE_FORM ?? "untyped"]);
