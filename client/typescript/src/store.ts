// Where a device's state is kept. A state is replaced as a whole or not at all.
//
// Invariants
// - `save` resolves once the state survives the end of the page, and of the browser.
// - Whoever opened the state of a device last is the only one who may save it.

import { emptyState, type DeviceState } from "./state.js";

/** Somebody else has opened the state of this device since: another tab, or another window. */
export class StoreTaken extends Error {
  override name = "StoreTaken";

  constructor() {
    super("the state of this device was opened elsewhere");
  }
}

/** The state of one device, opened. */
export interface OpenStore {
  /** As it was when it was opened. */
  readonly state: DeviceState;
  /** Replaces the state. Rejects with StoreTaken if it was opened elsewhere since; nothing is saved then. */
  save(state: DeviceState): Promise<void>;
  close(): void;
}

/** Keeps the states of devices. */
export interface Store {
  /** Opens the state of a device; who had it open before can save it no more. */
  open(user: string, device: string): Promise<OpenStore>;
}

/** Keeps states as long as the object lives: for tests, and for devices that are linked anew each time. */
export class MemoryStore implements Store {
  private readonly states = new Map<string, DeviceState>();
  private readonly owners = new Map<string, number>();

  open(user: string, device: string): Promise<OpenStore> {
    const key = `${user}/${device}`;
    const mine = (this.owners.get(key) ?? 0) + 1;
    this.owners.set(key, mine);
    const save = (state: DeviceState): Promise<void> => {
      if (this.owners.get(key) !== mine) return Promise.reject(new StoreTaken());
      this.states.set(key, state);
      return Promise.resolve();
    };
    return Promise.resolve({ state: this.states.get(key) ?? emptyState(), save, close: () => undefined });
  }
}
