/** Any value that JSON can express. */
export type JSONValue = null | boolean | number | string | JSONValue[] | { [key: string]: JSONValue };

/** What comes with a message. A client must ignore keys that it does not know. */
export interface MessageFrame {
  /** The position of the message in the room; missing while a server that has lost its backend serves its own clients alone. */
  id?: string;
  /** The tag of the connection that sent the message with a ref. */
  from?: string;
  ref?: number;
  user?: string;
  message: JSONValue;
}

export interface Member {
  user: string;
  /** Number of connections. */
  n: number;
  info?: JSONValue;
}

/** An event of the server. Later versions of the server may send other events, and other keys. */
export type ServerEvent =
  | { event: "open"; v: 2; id?: string; me: string; key: string; heartbeat: number; max_age: number; resumed?: boolean; count: number }
  | { event: "live"; id?: string; fenced?: boolean }
  | { event: "heartbeat"; id?: string }
  | { event: "mark"; id: string }
  | { event: "ack"; ref: number; id?: string; scope?: "node" }
  | { event: "gap"; id?: string; reason: "slow" | "backend" | "history" | "epoch"; lost?: number }
  | { event: "presence"; count: number; join?: Member[]; leave?: string[] }
  | { event: "members"; members: Member[]; count: number };

/** The server did not carry out a request. */
export interface ServerError {
  code: number;
  name: string;
  text: string;
  /** Seconds after which the client may try again. */
  retry?: number;
  maybe?: boolean;
}

/** The reason why a message was not acknowledged. */
export interface SendError extends Error {
  /**
   * The name of an error of the server; "not_connected"; or, if the connection was lost: "lost" (the message is not in the room and
   * never will be), "unknown" (it may be there).
   */
  name: string;
  /** The close code that belongs to an error of the server. */
  code?: number;
  /** The message may have arrived nevertheless. */
  maybe?: boolean;
  retry?: number;
  /** The tag of the connection that sent the message, and the ref of the message. */
  from?: string;
  ref: number;
}

export type State = "connecting" | "open" | "waiting" | "closed";

export interface StateChange {
  state: State;
  /** The close code, in the states waiting and closed. */
  code?: number;
  reason?: string;
  /** Whether the server had let the client into the room. */
  opened?: boolean;
  /** Milliseconds until the next attempt, in the state waiting. */
  delay?: number;
}

export interface Options {
  /** A position from an earlier page or process. */
  since?: string;
  /** Milliseconds between two looks at the connection; 0 turns them off. The default is 25,000. */
  watch?: number;
  /** text is the whole WebSocket message, with every digit of its numbers. */
  onMessage?(value: JSONValue, frame: MessageFrame, text: string): void;
  onEvent?(event: ServerEvent): void;
  /** Messages are missing and will not come: fetch the state of the room from elsewhere. */
  onMissed?(event: ServerEvent): void;
  onError?(error: ServerError, frame: { error: ServerError; ref?: number }): void;
  onText?(direction: "in" | "out", text: string): void;
  onState?(change: StateChange): void;
}

export interface Client {
  /**
   * Sends a value, once. The promise ends when the message is in the room, or with a SendError. If the connection is lost, it ends
   * when the client is back in the room or closed. Refs that a caller gives must grow.
   */
  send(value: JSONValue, ref?: number): Promise<{ ref: number; id?: string; scope?: "node" }>;
  /** Leaves the room. */
  close(): void;
  /** Connects at once, during a wait or after the end. */
  open(): void;
  /** For a page that becomes visible again or gets its network back. */
  wake(): void;
  readonly state: State;
  /** The tag of the connection. */
  readonly me: string | undefined;
  /** The position in the room. */
  readonly since: string;
}

/** Joins a room: url is, for example, wss://HOST/ws/chat/lobby/. */
export function connect(url: string | URL, options?: Options): Client;
