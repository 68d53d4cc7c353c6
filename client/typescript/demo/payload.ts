// What the page puts into payloads: text as it is, so that other clients can read it, and word of a delivery behind a
// zero byte. The protocol has no receipts yet; what its recipient's page says is a message like any other.

export type Content = { readonly text: string } | { readonly deliveredThrough: number };

export function write(content: Content): Uint8Array {
  const words = "text" in content ? content.text : `\0delivered ${content.deliveredThrough}`;
  return new TextEncoder().encode(words);
}

export function read(payload: Uint8Array): Content {
  const words = new TextDecoder().decode(payload);
  const through = /^\0delivered (\d{1,15})$/.exec(words)?.[1];
  return through === undefined ? { text: words } : { deliveredThrough: Number(through) };
}
