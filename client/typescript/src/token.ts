// What a client reads in its token. Judging it is the server's: nothing here checks a signature.
//
// Invariants
// - No error holds a token.

/** Whose token it is, and until when. */
export interface Claims {
  readonly user: string;
  readonly device: string;
  /** Seconds since 1970; undefined if it does not say. */
  readonly expiresAt: number | undefined;
}

/** The claims of a JWT; undefined if the text is none. */
export function claimsOf(token: string): Claims | undefined {
  try {
    const part = token.split(".")[1] ?? "";
    const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    const { sub, dev, exp } = claims;
    if (typeof sub !== "string" || typeof dev !== "string") return undefined;
    return { user: sub, device: dev, expiresAt: typeof exp === "number" ? exp : undefined };
  } catch {
    return undefined;
  }
}
