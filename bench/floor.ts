/**
 * The floor: the bare VMM, started from the product's template with the same
 * drives and the same recipe, until its agent has run one static program. No
 * code of the product runs here but the generated messages of the protocol.
 */
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { ExecEventSchema, ExecRequestSchema } from '../src/guest/gen/pyro/agent/v1/agent_pb.ts'

export interface FloorTemplate {
  memory: string
  state: string
  disk: string
  environmentImage: string
  kernelImage: string
  initramfs: string
  tscKhz: number
  memMib: number
}

/** Forks, runs `argv` once before anything is attached, kills. Resolves to the milliseconds until its exit. */
export async function bareFork(template: FloorTemplate, argv: string[]): Promise<number> {
  const start = performance.now()
  const directory = mkdtempSync(join(tmpdir(), 'pyro-floor-'))
  const at = (name: string) => join(directory, name)
  execFileSync('cp', ['--reflink=auto', '--sparse=always', template.disk, at('disk.img')])
  const state = openSync(template.state, 'r')
  const vmm = spawn('qemu-system-x86_64', commandLine(template, at), { stdio: ['ignore', 'ignore', 'inherit', state] })
  closeSync(state)
  try {
    await restore(at('qmp'))
    const session = await openSession(at('control'))
    await runOnce(session, argv)
    session.destroy()
    return performance.now() - start
  } finally {
    vmm.kill('SIGKILL')
    await new Promise((ended) => vmm.once('close', ended))
    rmSync(directory, { recursive: true })
  }
}

function commandLine({ memory, environmentImage, kernelImage, initramfs, tscKhz, memMib }: FloorTemplate, at: (name: string) => string): string[] {
  const port = (name: string) => ['-chardev', `socket,id=${name},path=${at(name)},server=on,wait=off`, '-device', `virtserialport,chardev=${name},name=pyro.${name}`]
  const drive = (id: string, backend: string) => ['-drive', `if=none,id=${id},${backend}`, '-device', `virtio-blk-device,drive=${id}`]
  const file = (path: string) => `driver=raw,file.driver=file,file.filename=${path},file.locking=off,cache=unsafe,discard=unmap`
  const blank = `driver=null-co,size=${64 * 1024 ** 3},read-zeroes=on`
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-M', 'microvm,acpi=on,pit=on,pic=on,rtc=on,memory-backend=ram'],
    ...['-accel', 'tcg,thread=multi,tb-size=64', '-cpu', 'max,erms=off', '-smp', '1', '-m', String(memMib)],
    ...['-object', `memory-backend-file,id=ram,size=${memMib}M,mem-path=${memory},share=off`],
    ...['-kernel', kernelImage, '-initrd', initramfs, '-append', `console=ttyS0 quiet reboot=t panic=-1 no_timer_check tsc_early_khz=${tscKhz} tsc=reliable`],
    ...['-serial', 'null', '-device', 'virtio-serial-device,max_ports=4', ...port('control'), ...port('network')],
    ...drive('environment', `${file(environmentImage)},readonly=on`),
    ...drive('disk', file(at('disk.img'))),
    ...drive('seed', `${blank},readonly=on`),
    ...drive('spare', blank),
    ...['-chardev', `socket,id=qmp,path=${at('qmp')},server=on,wait=off`, '-mon', 'chardev=qmp,mode=control', '-incoming', 'defer'],
  ]
}

async function dial(path: string): Promise<net.Socket> {
  for (;;) {
    const socket = net.connect(path)
    const connected = await new Promise<boolean>((done) => socket.once('connect', () => done(true)).once('error', () => done(false)))
    if (connected) return socket
    await new Promise((later) => setTimeout(later, 1))
  }
}

async function restore(path: string): Promise<void> {
  const socket = await dial(path)
  const send = (execute: string, args?: unknown) => socket.write(`${JSON.stringify({ execute, arguments: args })}\n`)
  let text = ''
  const completed = new Promise<void>((done) => socket.on('data', (data) => (text += data).includes('"status": "completed"') && done()))
  send('qmp_capabilities')
  send('migrate-set-capabilities', { capabilities: ['x-ignore-shared', 'events'].map((capability) => ({ capability, state: true })) })
  send('migrate-incoming', { uri: 'fd:3' })
  await completed
  send('cont')
}

async function openSession(path: string): Promise<http2.ClientHttp2Session> {
  const socket = await dial(path)
  const nonce = randomBytes(16)
  const frame = (kind: string) => Buffer.concat([Buffer.alloc(9, 0xff), Buffer.from(`pyro/1${kind}`), nonce])
  let seen = Buffer.alloc(0)
  await new Promise<void>((done) => {
    const hello = setInterval(() => socket.write(frame('H')), 5)
    socket.write(frame('H'))
    socket.on('data', function read(data: Buffer) {
      seen = Buffer.concat([seen, data])
      const echo = seen.lastIndexOf(frame('E'))
      if (echo < 0) return
      clearInterval(hello)
      socket.off('data', read).pause()
      socket.write(frame('S'))
      done()
    })
  })
  // Echoes of further hellos may still come: they are skipped up to the first HTTP/2 byte.
  let rest = Buffer.alloc(0)
  await new Promise<void>((done) => {
    socket.on('data', function skip(data: Buffer) {
      rest = Buffer.concat([rest, data])
      while (rest[0] === 0xff && rest.length >= 32) rest = rest.subarray(32)
      if (rest.length === 0 || rest[0] === 0xff) return
      socket.off('data', skip).pause()
      socket.unshift(rest)
      done()
    })
    socket.resume()
  })
  return http2.connect('http://guest', { createConnection: () => socket })
}

async function runOnce(session: http2.ClientHttp2Session, argv: string[]): Promise<void> {
  const message = toBinary(ExecRequestSchema, create(ExecRequestSchema, { execId: 'floor', argv, cwd: '/', env: [] }))
  const envelope = Buffer.alloc(5)
  envelope.writeUInt32BE(message.length, 1)
  const stream = session.request({ ':method': 'POST', ':path': '/pyro.agent.v1.Agent/Exec', 'content-type': 'application/connect+proto', 'connect-protocol-version': '1' })
  stream.end(Buffer.concat([envelope, message]))
  let received = Buffer.alloc(0)
  for await (const chunk of stream) {
    received = Buffer.concat([received, chunk as Buffer])
    while (received.length >= 5 && received.length >= 5 + received.readUInt32BE(1)) {
      const body = received.subarray(5, 5 + received.readUInt32BE(1))
      if (received[0] === 2) throw new Error(`the agent refused: ${body}`)
      received = received.subarray(5 + body.length)
      const { event } = fromBinary(ExecEventSchema, body)
      if (event.case !== 'exit') continue
      if (event.value.code !== 0) throw new Error(`${argv.join(' ')} exited with ${event.value.code}`)
      return
    }
  }
  throw new Error('no exit code came')
}
