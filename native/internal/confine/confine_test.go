package confine

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/internal/event"
)

func init() { runtime.LockOSThread() }

// TestMain lets the test binary be the program whose stage and probe are tested.
func TestMain(m *testing.M) {
	commands := map[string]func() error{
		"confine": func() error { return Stage(os.Args[2:]) },
		"probe":   func() error { return Probe(os.Args[2:], os.Stdout) },
		"examine": func() error { return Examine(event.NewStream(os.Stdout)) },
	}
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		if err := commands[os.Args[1]](); err != nil {
			io.WriteString(os.Stderr, err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const ordinary = 65534

// examineAs examines this host with a program before ours, as some user.
func examineAs(t *testing.T, user int, before ...string) map[string]Row {
	t.Helper()
	if os.Getuid() != 0 && user != os.Getuid() {
		t.Skip("takes root")
	}
	// The test binary's own directory is closed to others.
	directory, err := os.MkdirTemp("", "confine-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	os.Chmod(directory, 0o755)
	program := filepath.Join(directory, "program")
	content, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, content, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(before), program, "examine")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "TMPDIR=/tmp")
	if user != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
	}
	cmd.Dir = "/"
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var found examined
	if err := json.Unmarshal(output, &found); err != nil {
		t.Fatalf("%q: %v", output, err)
	}
	rows := map[string]Row{}
	for _, row := range found.Rows {
		rows[row.Name] = row
	}
	return rows
}

func wantRows(t *testing.T, rows map[string]Row, status string, names ...string) {
	t.Helper()
	for _, name := range names {
		if rows[name].Status != status {
			t.Errorf("%s: %+v, want %s", name, rows[name], status)
		}
	}
}

// always holds even where nothing is allowed.
var always = []string{"capabilities", "system calls", "lifetime"}

func needNamespaces(t *testing.T) {
	t.Helper()
	if setting := restriction(); setting != "" {
		t.Skip("this host has " + setting)
	}
}

func TestRootGivesEachVMMAUserOfItsOwn(t *testing.T) {
	held, err := capabilities()
	if all := uint64(1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_SETUID); err != nil || held&all != all {
		t.Skip("this root has not all capabilities")
	}
	rows := examineAs(t, 0)
	wantRows(t, rows, "pass", append(always, "network", "files", "processes", "user", "template memory")...)
}

func TestAnOrdinaryUserHasAllButAnotherUser(t *testing.T) {
	needNamespaces(t)
	rows := examineAs(t, ordinary)
	wantRows(t, rows, "pass", append(always, "network", "files", "processes", "template memory")...)
	wantRows(t, rows, "fail", "user")
}

func TestRootWithoutPrivilegeIsAnOrdinaryUser(t *testing.T) {
	needNamespaces(t)
	rows := examineAs(t, 0, "setpriv", "--bounding-set=-sys_admin", "--")
	wantRows(t, rows, "pass", append(always, "network", "files", "processes", "template memory")...)
	wantRows(t, rows, "fail", "user")
}

func TestWithoutNamespacesTheRestHoldsAndTheReasonIsTold(t *testing.T) {
	needNamespaces(t)
	rows := examineAs(t, ordinary, "unshare", "--user", "--map-root-user", "sh", "-c",
		`echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-sys_admin -- "$@"`, "sh")
	wantRows(t, rows, "pass", always...)
	wantRows(t, rows, "fail", "network", "files", "processes", "user", "template memory")
	for _, name := range []string{"network", "files", "processes"} {
		if details := rows[name].Details; !strings.Contains(details, "user.max_user_namespaces=0") {
			t.Errorf("%s: no reason in %q", name, details)
		}
	}
}

func TestAFileThatCannotBeLentIsNoReasonToShareAUser(t *testing.T) {
	// Root that may not look into other users' memory cannot read what path a VMM opens.
	rows := examineAs(t, 0, "setpriv", "--bounding-set=-sys_ptrace", "--")
	wantRows(t, rows, "pass", append(always, "network", "files", "processes")...)
	wantRows(t, rows, "fail", "user", "template memory")
	if !strings.Contains(rows["template memory"].Details, "QEMU before 8.2") {
		t.Error(rows["template memory"])
	}
}

// start starts a probe with a spec in a directory of its own.
func start(t *testing.T, spec *Spec, q Questions) (*VMM, Answers) {
	t.Helper()
	runtime.LockOSThread() // for good: the VMM dies with its thread
	q.Stay = true
	p := &place{directory: t.TempDir(), questions: q}
	os.Mkdir(p.work(), 0o700)
	questions, _ := json.Marshal(q)
	program, _ := os.Executable()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	null, _ := os.Open(os.DevNull)
	defer null.Close()
	vmm, err := Start(spec, Command{
		ID: t.Name(), Path: program, Argv: []string{"vmm", "probe", string(questions)},
		Dir: p.work(), Files: []uintptr{null.Fd(), write.Fd(), write.Fd()},
	})
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Kill(vmm.PID, unix.SIGKILL)
		unix.Wait4(vmm.PID, nil, 0, nil)
		vmm.Finish()
	})
	var a Answers
	if err := json.NewDecoder(read).Decode(&a); err != nil {
		t.Fatal(err)
	}
	if a.Directory != p.work() || a.HostName != hostName && vmm.Outcome.Namespaces != none {
		t.Errorf("in %s on %s", a.Directory, a.HostName)
	}
	return vmm, a
}

func file(t *testing.T, name string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("0123"), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatIsWrittenIsWrittenAndWhatIsReadIsNot(t *testing.T) {
	needNamespaces(t)
	secret, public, own, lent := file(t, "secret", 0o600), file(t, "public", 0o644), file(t, "own", 0o600), file(t, "lent", 0o600)
	made := filepath.Join(t.TempDir(), "made")
	spec := &Spec{Read: []string{secret, public}, Write: []string{own, made}, Lend: []string{lent}}
	vmm, a := start(t, spec, Questions{Write: []string{secret, public, own, made, lent}})
	wanted := map[string]string{own: "ok", made: "ok"}
	if vmm.Outcome.Lender {
		wanted[lent] = "write: bad file descriptor"
	}
	for path, want := range wanted {
		if a.Write[path] != want {
			t.Errorf("%s: %s, want %s", filepath.Base(path), a.Write[path], want)
		}
	}
	for _, path := range []string{secret, public} {
		if a.Write[path] == "ok" {
			t.Errorf("%s was written to", filepath.Base(path))
		}
	}
	if content, _ := os.ReadFile(own); string(content) != "!123" {
		t.Errorf("own holds %q", content)
	}
}

func TestSocketsAreReachedOnlyWhereTheyMayBe(t *testing.T) {
	needNamespaces(t)
	directory := t.TempDir()
	os.Chmod(directory, 0o700)
	listener, err := unixListener(filepath.Join(directory, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := "unix " + filepath.Join(directory, "s")
	if _, a := start(t, &Spec{Connect: directory}, Questions{Dial: []string{address}}); a.Dial[address] != "ok" {
		t.Error(a.Dial[address])
	}
	if _, a := start(t, &Spec{}, Questions{Dial: []string{address}}); a.Dial[address] == "ok" {
		t.Error("reached without leave")
	}
}

func TestAProgramThatCannotRunIsNotRunUnconfined(t *testing.T) {
	runtime.LockOSThread()
	program := file(t, "program", 0o755)
	_, err := Start(&Spec{}, Command{ID: "m", Path: program, Argv: []string{"x"}, Dir: t.TempDir()})
	if failed, ok := err.(*os.PathError); !ok || failed.Path != program || failed.Err != unix.ENOEXEC {
		t.Error(err)
	}
}

func TestAFileThatIsMissingIsAnError(t *testing.T) {
	for _, spec := range []*Spec{{Read: []string{"/nonexistent"}}, {Lend: []string{"/nonexistent"}}, {Write: []string{"/nonexistent/x"}}} {
		if _, err := Start(spec, Command{ID: "m", Path: os.Args[0], Dir: t.TempDir()}); !os.IsNotExist(err) {
			t.Errorf("%+v: %v", spec, err)
		}
	}
}

func TestUsersAreTheirOwn(t *testing.T) {
	seen := map[int]bool{}
	for _, id := range []string{"000000000001", "000000000002", "template-1", "template-2"} {
		user := userOf(id)
		if user < firstUser || user >= firstUser+users || seen[user] || user != userOf(id) {
			t.Errorf("%s: %d", id, user)
		}
		seen[user] = true
	}
}
