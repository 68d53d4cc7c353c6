// The messages that this device has: the application's own store, beside the client's.
//
// Invariants
// - A message has one place, its conversation and sequence: putting it twice changes nothing.

/** A message as it is kept. */
export interface Kept {
  readonly sequence: number;
  readonly messageId: string;
  readonly sender: string;
  readonly device: string;
  readonly serverTime: number;
  readonly payload: Uint8Array;
}

/** What was missing when the page showed it. */
export interface KeptGap {
  readonly sequence: number;
  readonly gap: string;
}

const MESSAGES = "messages";
const FACTS = "facts";

export class History {
  private constructor(
    private readonly database: IDBDatabase,
    private readonly key: string,
  ) {}

  static async open(user: string, device: string, conversation: string): Promise<History> {
    const request = indexedDB.open("iris-demo", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(MESSAGES);
      request.result.createObjectStore(FACTS);
    };
    return new History(await result(request), `${user}/${device} ${conversation}`);
  }

  async all(): Promise<(Kept | KeptGap)[]> {
    const range = IDBKeyRange.bound([this.key, 0], [this.key, Number.MAX_SAFE_INTEGER]);
    return result(this.database.transaction(MESSAGES).objectStore(MESSAGES).getAll(range));
  }

  async put(message: Kept | KeptGap): Promise<void> {
    await this.write(MESSAGES, message, [this.key, message.sequence]);
  }

  /** Up to which sequence this device has said that it has the messages. */
  async saidThrough(): Promise<number> {
    const said: unknown = await result(this.database.transaction(FACTS).objectStore(FACTS).get(this.key));
    return typeof said === "number" ? said : 0;
  }

  async setSaidThrough(sequence: number): Promise<void> {
    await this.write(FACTS, sequence, this.key);
  }

  private write(store: string, value: unknown, key: IDBValidKey): Promise<void> {
    const transaction = this.database.transaction(store, "readwrite", { durability: "strict" });
    transaction.objectStore(store).put(value, key);
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("the database refused"));
    });
  }
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the database refused"));
  });
}
