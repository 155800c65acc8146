import { type ClientHttp2Session, constants } from 'node:http2'
import type { Socket } from 'node:net'
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { PyroError } from '../contract/errors.ts'
import { Agent } from './gen/pyro/agent/v1/agent_pb.ts'
import { handshake } from './link/handshake.ts'
import { authority, openSession } from './link/session.ts'

/** One message of an answer, at most: the agent sends output in chunks far below. */
const maxMessageBytes = 4 * 1024 * 1024

export interface Guest extends Disposable {
  /** The agent's calls, typed by `proto/`. Failures are `ConnectError`; see `guestError`. */
  agent: Client<typeof Agent>
  /** Resolves when the link is gone, for whatever reason. */
  closed: Promise<void>
}

interface ConnectOptions {
  timeoutMs: number
  signal?: AbortSignal | undefined
}

/** Shakes hands on a fresh byte channel and opens the agent's client on it. */
export async function connectGuest(socket: Socket, options: ConnectOptions): Promise<Guest> {
  try {
    await handshake(socket, options)
    const session = await openSession(socket)
    return guestOver(session)
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function guestOver(session: ClientHttp2Session): Guest {
  const transport = createConnectTransport({
    baseUrl: authority,
    httpVersion: '2',
    // A guest that compresses is slow under emulation, and could send bombs.
    acceptCompression: [],
    readMaxBytes: maxMessageBytes,
    writeMaxBytes: maxMessageBytes,
    sessionManager: {
      authority,
      request: async (method, path, headers, options) => session.request({ ...headers, ':method': method, ':path': path }, options),
      notifyResponseByteRead: () => {},
    },
  })
  return {
    agent: createClient(Agent, transport),
    closed: new Promise((done) => session.once('close', () => done())),
    [Symbol.dispose]: () => session.destroy(new Error('the link was closed'), constants.NGHTTP2_REFUSED_STREAM),
  }
}

/** How it shows that the link broke. No call of ours is given a signal, so one that is cancelled was cut too. */
const lostCodes: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Aborted, Code.Canceled])

/** Tells a failed call in the words of our errors. `doing` completes "while …". */
export function guestError(thrown: unknown, doing: string): PyroError {
  if (thrown instanceof PyroError) return thrown
  const error = ConnectError.from(thrown)
  if (lostCodes.has(error.code)) {
    return new PyroError('guest_unresponsive', `lost the guest while ${doing}`, { cause: thrown })
  }
  return new PyroError('guest_failed', `the guest failed while ${doing}: ${printable(error.rawMessage)}`, { cause: thrown })
}

/** A guest words its own errors, so they are bounded and cannot steer a terminal. */
function printable(text: string): string {
  return text.slice(0, 500).replace(/\p{Cc}/gu, ' ')
}
