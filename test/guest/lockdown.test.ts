import assert from 'node:assert/strict'
import { before } from 'node:test'
import { temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { type Fork, fork } from './fork.ts'

const home = temporaryHome()
let guest: Fork
before(async () => {
  guest = await fork(home)
  await shell('mkdir /tmp/dev /tmp/empty && mount -t devtmpfs dev /tmp/dev')
})

/** What a script writes, its errors included. */
async function shell(script: string): Promise<string> {
  const { stdout, stderr } = await guest.run(`exec 2>&1; ${script}`)
  return stdout + stderr
}

/** Runs Perl, in which `call` makes a system call and prints its error. */
const perl = (script: string) => shell(`perl - <<'END'\nuse Socket;\nsub call { my ($n, @a) = @_; $! = 0; syscall($n, @a); print "$!\\n" }\n${script}\nEND\n`)

const refused = 'Operation not permitted'
const lines = (n: number) => `${refused}\n`.repeat(n)

verifies('lockdown.kernel', 'no module, no other kernel, no reboot, no I/O ports, no time', async () => {
  const found = await perl(`
    my $none = '';
    call(175, $none, 0, $none);               # init_module
    call(313, 0, $none, 0);                   # finit_module
    call(176, 'overlay', 0);                  # delete_module
    call(246, 0, 0, $none, 0);                # kexec_load
    call(320, 0, 0, 0, $none, 0);             # kexec_file_load
    call(169, 0xfee1dead, 672274793, 0x1234567, $none); # reboot
    call(172, 3);                             # iopl
    call(227, 0, pack('qq', 0, 0));           # clock_settime
    call(304, 0, pack('Lla8', 8, 1, ''), 0);  # open_by_handle_at
  `)
  assert.equal(found, lines(9))
})

verifies('lockdown.kernel', 'no setting but those of the network, by whichever mount of proc', async () => {
  await shell('mkdir /tmp/proc; mount -t proc proc /tmp/proc')
  const found = await perl(`
    for my $proc ('/proc', '/tmp/proc') {
      for my $name ('kernel/core_pattern', 'kernel/modprobe', 'kernel/sysrq', 'kernel/panic', 'vm/overcommit_memory', 'fs/file-max', 'kernel/usermodehelper/bset') {
        open(my $f, '>', "$proc/sys/$name") or die "$name: $!";
        syswrite($f, '1');
        print "$!\\n";
      }
    }
  `)
  assert.equal(found, lines(14))
  assert.equal(await shell('cat /proc/sys/kernel/core_pattern'), 'core\n')
  assert.match(await shell('mount -t cgroup -o none,name=x,release_agent=/bin/sh none /tmp/empty'), /permission denied/)
  assert.match(await shell('mount -t tracefs none /tmp/empty; head -c 1 /tmp/empty/kprobe_events; umount /tmp/empty'), new RegExp(refused))
})

verifies('lockdown.devices', 'a device node, found or made, opens nothing of the machine', async () => {
  const names = (await shell('cd /tmp/dev; ls -d vd* vport* console kmsg mem hwrng rtc0 btrfs-control snapshot ttyS0 2>/dev/null')).trim().split('\n')
  assert.ok(names.includes('vda') && names.includes('vdb') && names.includes('vport0p1') && names.includes('mem'), String(names))
  const opened = await perl(`for my $name (qw(${names.join(' ')})) { for my $how (0, 1, 2, 3) { $! = 0; sysopen(my $f, "/tmp/dev/$name", $how); print "$!\\n" } }`)
  assert.equal(opened, lines(4 * names.length))
  const made = await shell('for t in "b 254 0" "b 7 0" "c 1 1" "c 1 3" "c 250 1"; do mknod /tmp/node $t; done')
  assert.equal(made.match(new RegExp(refused, 'g'))?.length, 5)
})

verifies(['lockdown.devices', 'lockdown.disk'], 'a disk cannot be mounted, swapped to or looped over', async () => {
  for (const type of ['btrfs', 'btrfs -o subvolid=5', 'squashfs -o ro', 'ext4']) {
    for (const disk of ['vda', 'vdb', 'vdd']) assert.match(await shell(`mount -t ${type} /tmp/dev/${disk} /tmp/empty`), /permission denied/, `${type} of ${disk}`)
  }
  assert.equal(await perl(`call(167, '/tmp/dev/vdd', 0)`), lines(1))
  assert.match(await shell('head -c 1 /tmp/dev/loop-control; head -c 1 /tmp/dev/mapper/control'), /No such file|not permitted/)
})

verifies('lockdown.disk', 'no file of the root or of /workspace takes a request to btrfs', async () => {
  await shell('touch /workspace/file /root/file')
  const found = await perl(`
    for my $path ('/', '/root', '/root/file', '/workspace', '/workspace/file') {
      sysopen(my $f, $path, 0) or die "$path: $!";
      # create a subvolume, destroy one by name and by id, list them, search the trees, set the default, freeze, resize
      for my $request (0x5000940e, 0x5000940f, 0x5000943f, 0xd000943d, 0xd0009411, 0x40089413, 0xc0045877, 0x50009403) {
        my $argument = pack('q', 256) . 'root' . "\\0" x 4100;
        $! = 0;
        ioctl($f, $request, $argument);
        print "$!\\n";
      }
    }
  `)
  assert.match(found, /^((Inappropriate ioctl for device|Operation not supported)\n){40}$/)
})

verifies('lockdown.agent', 'the agent is not seen, and its init not read, traced or ended', async () => {
  const seen = (await shell('cat /proc/[0-9]*/comm')).split('\n')
  assert.ok(!seen.includes('init'), String(seen))
  assert.equal(await shell('tr -d "\\0" </proc/1/cmdline'), 'pyro-init')
  assert.match(await shell('ls /proc/1/root/ /proc/1/fd; cat /proc/1/maps; head -c 1 /proc/1/mem'), /^(.*Permission denied\n|total.*\n|\d+\n|\n|\/proc.*\n)+$/)
  assert.equal(await perl('call(101, 16, 1, 0, 0); call(434, 1, 0); $! = 0'), `${refused}\n\n`)
  await shell('kill -KILL 1; kill -STOP 1; kill -SEGV 1; kill -KILL -1')
  assert.equal(await shell('echo alive'), 'alive\n')
})

verifies('lockdown.agent', 'what is about to become a command is not open to root either', async () => {
  const spying = guest.run(`perl -e '
    $| = 1; my $end = time + 3; my %seen; my $opened = 0;
    while (time < $end) {
      for my $pid (map { $_ + 0 } grep { /^\\d+$/ } do { opendir(my $d, "/proc"); readdir($d) }) {
        for my $fd (0 .. 12) { my $to = readlink("/proc/$pid/fd/$fd"); print "$to\\n" if defined $to and $to =~ /vport|vsock|cgroup/ }
      }
    }'`)
  for (let i = 0; i < 20; i++) await guest.run('true')
  assert.equal((await spying).stdout, '')
})

verifies('lockdown.agent', "the agent's vsock port answers nobody in the guest", async () => {
  for (const cid of [1, 3, 4, 0xffffffff]) {
    const found = await perl(`socket(my $s, 40, 1, 0) or do { print "none\\n"; exit }; connect($s, pack('SSLLL', 40, 0, 5005, ${cid}, 0)) ? print "connected\\n" : print "refused\\n"`)
    assert.match(found, /^(none|refused)\n$/)
  }
})

verifies('lockdown.usable', 'what programs need is there', async () => {
  assert.equal(await shell('head -c 3 /dev/urandom | wc -c; head -c 3 /dev/random | wc -c; head -c 3 /dev/zero | wc -c; echo x >/dev/null; echo x >/dev/full'), '3\n3\n3\n/bin/sh: 1: echo: echo: I/O error\n')
  const terminal = `sysopen(my $m, '/dev/ptmx', 2) or die $!; my $n = pack('l', 0); ioctl($m, 0x40045431, $n); ioctl($m, 0x80045430, $n); sysopen(my $s, '/dev/pts/' . unpack('l', $n), 2) or die $!; print -t $s ? "terminal\\n" : "none\\n"`
  assert.equal(await perl(terminal), 'terminal\n')
  assert.equal(await shell('exec 3<>/tmp/dev/net/tun && echo 1 >/proc/sys/net/ipv4/ip_forward && cat /proc/sys/net/ipv4/ip_forward'), '1\n')
  assert.equal(await perl('my $child = fork // die; unless ($child) { sleep 100 } call(101, 16, $child, 0, 0); kill 9, $child'), '\n')
  assert.equal(await shell('chown 1000:1000 /workspace && setpriv --reuid 1000 --clear-groups touch /workspace/own && mount -t tmpfs t /mnt && unshare -n true && echo done'), 'done\n')
})
