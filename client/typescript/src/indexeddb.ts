// Device states in the browser's database.
//
// Invariants
// - A save is one transaction with strict durability: the state before, or this one, never a mixture.
// - Each opening takes the next epoch; a transaction that finds a later one than its own saves nothing.
// - The outbox lies message by message, so that a save writes what is new and takes away what is answered.

import { emptyState, type DeviceState, type OutboxEntry } from "./state.js";
import { StoreTaken, type OpenStore, type Store } from "./store.js";

const VERSION = 1;
const DEVICES = "devices";
const OUTBOX = "outbox";

/** A device's row: all of its state but the outbox. */
type Row = Omit<DeviceState, "outbox"> & { readonly epoch: number };

export class IndexedDbStore implements Store {
  constructor(private readonly name = "iris") {}

  async open(user: string, device: string): Promise<OpenStore> {
    const database = await openDatabase(this.name);
    return OpenDevice.load(database, `${user}/${device}`);
  }
}

class OpenDevice implements OpenStore {
  private nextNumber = 0;

  private constructor(
    private readonly database: IDBDatabase,
    private readonly owner: string,
    private readonly epoch: number,
    /** What lies in the outbox, and under which number. */
    private readonly kept: Map<string, number>,
    readonly state: DeviceState,
  ) {
    for (const number of kept.values()) this.nextNumber = Math.max(this.nextNumber, number + 1);
  }

  static async load(database: IDBDatabase, owner: string): Promise<OpenDevice> {
    const transaction = begin(database);
    const [devices, outbox] = [transaction.objectStore(DEVICES), transaction.objectStore(OUTBOX)];
    const row = (await result(devices.get(owner))) as Row | undefined;
    const numbers = (await result(outbox.getAllKeys(ofOwner(owner)))) as [string, number][];
    const entries = (await result(outbox.getAll(ofOwner(owner)))) as OutboxEntry[];
    const epoch = (row?.epoch ?? 0) + 1;
    const { outbox: _, ...empty } = emptyState();
    devices.put({ ...empty, ...row, epoch } satisfies Row, owner);
    await done(transaction);
    const kept = new Map(entries.map((entry, index) => [entry.messageId, numbers[index]?.[1] ?? 0]));
    const { epoch: __, ...rest } = { epoch, ...empty, ...row };
    return new OpenDevice(database, owner, epoch, kept, { ...rest, outbox: entries });
  }

  async save(state: DeviceState): Promise<void> {
    const { outbox: entries, ...rest } = state;
    const transaction = begin(this.database);
    const [devices, outbox] = [transaction.objectStore(DEVICES), transaction.objectStore(OUTBOX)];
    const row = (await result(devices.get(this.owner))) as Row | undefined;
    if (row?.epoch !== this.epoch) {
      transaction.abort();
      throw new StoreTaken();
    }
    devices.put({ ...rest, epoch: this.epoch } satisfies Row, this.owner);
    const wanted = new Set(entries.map((entry) => entry.messageId));
    for (const [messageId, number] of [...this.kept].filter(([id]) => !wanted.has(id))) {
      outbox.delete([this.owner, number]);
      this.kept.delete(messageId);
    }
    for (const entry of entries.filter((one) => !this.kept.has(one.messageId))) {
      outbox.put(entry, [this.owner, this.nextNumber]);
      this.kept.set(entry.messageId, this.nextNumber);
      this.nextNumber += 1;
    }
    await done(transaction);
  }

  close(): void {
    this.database.close();
  }
}

function ofOwner(owner: string): IDBKeyRange {
  return IDBKeyRange.bound([owner, 0], [owner, Number.MAX_SAFE_INTEGER]);
}

function begin(database: IDBDatabase): IDBTransaction {
  return database.transaction([DEVICES, OUTBOX], "readwrite", { durability: "strict" });
}

function openDatabase(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, VERSION);
  request.onupgradeneeded = () => {
    request.result.createObjectStore(DEVICES);
    request.result.createObjectStore(OUTBOX);
  };
  return result(request);
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the database refused"));
  });
}

function done(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = () => reject(transaction.error ?? new Error("the database refused"));
    transaction.oncomplete = () => resolve();
    transaction.onabort = failed;
    transaction.onerror = failed;
  });
}
