// What a caller may set, and the deterministic jitter behind every delay.
//
// Invariants
// - A delay depends on the seed and the inputs alone.

export const WINDOW_DEFAULT = 256;
export const SEND_WINDOW = 100;
export const PONG_TIMEOUT_MS = 20_000;
export const HEARTBEAT_DEFAULT_MS = 60_000;
export const OWN_ACK_DELAY_MS = 200;
export const PAYLOAD_BYTES_MAX = 65_536;

/** Settings of a session. */
export interface SessionConfig {
  /** Deliveries that the device takes unacknowledged; the server may grant less. */
  readonly window: number;
  /** Unanswered sends on the wire; the smaller of this and the server's limit holds. */
  readonly sendWindow: number;
  /** Idle time after which either side asks for life; 0: the server's default. Whole seconds. */
  readonly heartbeatMs: number;
  readonly capabilities: readonly string[];
  /** How long a Hello, a Send or another request may stay unanswered before the session reconnects. */
  readonly answerTimeoutMs: number;
  /** Stored deliveries after which an Ack goes out at once; lowered to half the window granted. */
  readonly ackEvery: number;
  /** The longest time a stored delivery waits for its Ack. */
  readonly ackDelayMs: number;
  /** The longest time a stored own copy waits for its Ack, if nothing else is to be acknowledged; 0: as a delivery. */
  readonly ownAckDelayMs: number;
  /** Upper end of the first delay between connections. */
  readonly backoffBaseMs: number;
  /** Upper end of every delay. */
  readonly backoffCapMs: number;
  /** A connection that was logged in for so long starts again at the base. */
  readonly stableAfterMs: number;
  /** Most messages that may wait for an answer, those of unknown outcome included. */
  readonly outboxMax: number;
  /** Different for each device. */
  readonly jitterSeed: bigint;
  /** Which run of the client this is, so that the server knows a late Hello of it: different for each start; 0: not told. */
  readonly instance: number;
}

export function sessionConfig(wishes: Partial<SessionConfig> = {}): SessionConfig {
  return {
    window: WINDOW_DEFAULT,
    sendWindow: SEND_WINDOW,
    heartbeatMs: 0,
    capabilities: [],
    answerTimeoutMs: PONG_TIMEOUT_MS,
    ackEvery: 64,
    ackDelayMs: 5,
    ownAckDelayMs: OWN_ACK_DELAY_MS,
    backoffBaseMs: 1_000,
    backoffCapMs: 60_000,
    stableAfterMs: 60_000,
    outboxMax: 10_000,
    jitterSeed: 0n,
    instance: 0,
    ...wishes,
  };
}

/** SplitMix64 (Steele, Lea, Flood, 2014): the same delays as the Rust client for the same seed. */
export class Jitter {
  constructor(private state: bigint) {}

  /** Uniform in [0, bound), in steps of a nanosecond; zero for zero. */
  below(boundMs: number): number {
    const boundNs = BigInt(Math.round(boundMs * 1e6));
    return Number((this.next() * boundNs) >> 64n) / 1e6;
  }

  /** Full jitter: uniform below `base * 2^attempts`, capped. */
  backoff(config: SessionConfig, attempts: number): number {
    return this.below(Math.min(config.backoffBaseMs * 2 ** Math.min(attempts, 31), config.backoffCapMs));
  }

  private next(): bigint {
    this.state = BigInt.asUintN(64, this.state + 0x9e37_79b9_7f4a_7c15n);
    let mixed = this.state;
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d0_49bb_1331_11ebn);
    return mixed ^ (mixed >> 31n);
  }
}
