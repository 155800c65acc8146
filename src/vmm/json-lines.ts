import type { Socket } from 'node:net'

/** No message that we wait for is longer, in UTF-16 code units. */
const maxLine = 4 * 1024 * 1024

/**
 * Receives one JSON object a line. What is none, or too long, ends the
 * connection: a VMM that its guest has taken over may send anything.
 */
export function onJsonLines(socket: Socket, receive: (message: Record<string, unknown>) => void): void {
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    try {
      if (rest.length > maxLine) throw new Error('a line without an end')
      for (const line of lines) receive(parseObject(line))
    } catch (error) {
      socket.destroy(error as Error)
    }
  })
}

function parseObject(line: string): Record<string, unknown> {
  const message: unknown = JSON.parse(line)
  if (typeof message !== 'object' || message === null || Array.isArray(message)) throw new Error('not an object')
  return message as Record<string, unknown>
}
