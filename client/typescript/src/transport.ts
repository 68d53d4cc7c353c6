// A connection that carries frames: one binary WebSocket message is one frame, without a length in front.

/** What a transport tells. After `closed` it tells nothing more. */
export interface TransportEvents {
  opened(): void;
  /** The body of a frame; undefined: something came that is none. */
  received(body: Uint8Array | undefined): void;
  closed(why: string): void;
}

/** A connection under way or open. */
export interface Transport {
  send(body: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

/** Begins to connect. */
export type Dial = (events: TransportEvents) => Transport;

export const SUBPROTOCOL = "iris.v1";

/** Dials this address, such as `wss://chat.example:7444/v1/connect`. */
export function webSocket(url: string, make: typeof WebSocket = WebSocket): Dial {
  return (events) => {
    const socket = new make(url, [SUBPROTOCOL]);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => events.opened();
    socket.onmessage = ({ data }) => events.received(data instanceof ArrayBuffer ? new Uint8Array(data) : undefined);
    socket.onclose = ({ code, reason }) => events.closed(reason === "" ? `WebSocket closed with ${code}` : reason);
    return {
      send: (body) => socket.send(body),
      close: () => socket.close(),
    };
  };
}
