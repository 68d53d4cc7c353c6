// What a client takes from its surroundings: time, randomness, and word of the network.

export interface Environment {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Milliseconds since 1970. */
  wall(): number;
  /** Fills the bytes from the system's generator, and gives them back. */
  random(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /** Calls back once, after so many milliseconds; the result takes that back. */
  timer(ms: number, call: () => void): () => void;
  /** Calls back whenever the network is there again; the result takes that back. */
  onOnline(call: () => void): () => void;
}

/** Browsers, and Node. */
export function browser(): Environment {
  return {
    now: () => performance.now(),
    wall: () => Date.now(),
    random: (bytes) => crypto.getRandomValues(bytes),
    timer: (ms, call) => {
      const timer = setTimeout(call, ms);
      return () => clearTimeout(timer);
    },
    onOnline: (call) => {
      if (typeof addEventListener !== "function") return () => undefined;
      addEventListener("online", call);
      return () => removeEventListener("online", call);
    },
  };
}
