// The workflows that tests run on the real engine, beside the gateway that makes them reachable.
import { WorkflowEntrypoint } from "cloudflare:workers";

export { default, Registry } from "./worker.js";

// Completes at once; its output is what it was given.
export class Echo extends WorkflowEntrypoint {
  run(event, step) {
    return step.do("echo", async () => ({ payload: event.payload, instanceId: event.instanceId }));
  }
}

// Completes when an event of the type "go" has come; `timeout` in the params bounds the wait.
export class WaitForGo extends WorkflowEntrypoint {
  async run(event, step) {
    const go = await step.waitForEvent("wait for go", { type: "go", timeout: event.payload?.timeout ?? "1 hour" });
    return { payload: event.payload, event: go.payload };
  }
}

// Ends with an error, without another try.
export class Fails extends WorkflowEntrypoint {
  run(_event, step) {
    return step.do("fail", { retries: { limit: 0, delay: 1 } }, async () => {
      throw new TypeError("always fails");
    });
  }
}
