// The token of the moment: asked for when there is none, when it is refused, and before it expires.
//
// Invariants
// - Never more than one question at a time; every failure is answered by a wait, never by asking at once.

import type { Environment } from "./environment.js";
import { claimsOf } from "./token.js";

/** Why a token is asked for. */
export type TokenWhy = "connect" | "refused" | "refresh";
export type TokenSource = (why: TokenWhy) => string | Promise<string>;

/** To be thrown by a token source that will have no token: the client closes. Any other error is tried again. */
export class TokenUnavailable extends Error {
  override name = "TokenUnavailable";
}

/** A token is renewed after this part of what was left of its life. */
const REFRESH_AFTER = 0.8;
const RETRY_MS = 30_000;

interface Owner {
  readonly user: string;
  readonly device: string;
  readonly token: TokenSource;
}

export class TokenKeeper {
  private token: string | undefined;
  private candidate: string | undefined;
  /** Milliseconds since 1970, of this clock. */
  private expiresAt = Infinity;
  private refreshAt = Infinity;
  /** How far the server's clock is ahead of this one. */
  private skewMs = 0;
  private asking: Promise<string> | undefined;

  constructor(
    private readonly owner: Owner,
    private readonly environment: Environment,
  ) {}

  /** The server's clock, as a login told it. */
  serverTime(ms: number): void {
    const skewMs = ms - this.environment.wall();
    this.expiresAt += this.skewMs - skewMs;
    this.refreshAt += this.skewMs - skewMs;
    this.skewMs = skewMs;
  }

  /** The token for a login. */
  async current(): Promise<string> {
    if (this.token === undefined || this.environment.wall() >= this.expiresAt) this.take(await this.ask("connect"));
    return this.token ?? "";
  }

  /** The server refused the token. */
  async refused(): Promise<void> {
    this.token = undefined;
    this.take(await this.ask("refused"));
  }

  /** A token to renew the session with; undefined: there is none now, and it is tried again later. */
  async next(): Promise<string | undefined> {
    this.refreshAt = this.environment.wall() + RETRY_MS;
    try {
      this.candidate = await this.ask("refresh");
    } catch {
      this.candidate = undefined;
    }
    return this.candidate;
  }

  /** The server's answer to the token that `next` gave. */
  refreshed(accepted: boolean): void {
    if (accepted && this.candidate !== undefined) this.take(this.candidate);
    this.candidate = undefined;
  }

  isRefreshDue(): boolean {
    return this.environment.wall() >= this.refreshAt;
  }

  refreshInMs(): number {
    return Math.max(0, this.refreshAt - this.environment.wall());
  }

  private take(token: string): void {
    this.token = token;
    const expiresAt = claimsOf(token)?.expiresAt;
    const now = this.environment.wall();
    this.expiresAt = expiresAt === undefined ? Infinity : expiresAt * 1000 - this.skewMs;
    this.refreshAt = now + Math.max(0, this.expiresAt - now) * REFRESH_AFTER;
  }

  private async ask(why: TokenWhy): Promise<string> {
    this.asking ??= Promise.resolve(this.owner.token(why)).finally(() => (this.asking = undefined));
    const token = await this.asking;
    const claims = claimsOf(token);
    const { user, device } = this.owner;
    if (claims?.user !== user || claims.device !== device) {
      throw new TokenUnavailable(`not a token of ${user}, device ${device}`);
    }
    return token;
  }
}
