package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a proxy under test.
type process struct {
	name string
	pid  int
	log  string
	addr string
	done chan struct{} // closed when it has ended
	end  string        // how it ended; valid after done
}

// ended is nil as long as the process lives.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended (%v): %s", p.name, p.end, p.lastLog())
	default:
		return nil
	}
}

// startProcess starts a proxy that will listen on addr, and waits until it does.
// It ends with us: the kernel binds that to the thread that forked, which the
// goroutine therefore keeps until the process has ended.
func startProcess(ctx context.Context, name, addr, log string, cred *syscall.Credential, program string, args ...string) (*process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = f, f, childAttr(cred)
	p := &process{name: name, log: log, addr: addr, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			p.end = cmd.ProcessState.String()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.pid = cmd.Process.Pid
	if err := p.waitListening(ctx); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

func (p *process) waitListening(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return p.ended()
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w", p.name, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *process) lastLog() string {
	data, _ := os.ReadFile(p.log)
	return strings.TrimSpace(string(data[max(0, len(data)-2000):]))
}

// stop ends the process at once; its clients are gone or do not matter.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.done:
			return nil
		default:
		}
		_ = syscall.Kill(p.pid, sig) // not reaped yet, so the pid is still its own
		select {
		case <-p.done:
			return nil
		case <-time.After(2 * time.Second):
		}
	}
	return fmt.Errorf("%s, process %d, does not end", p.name, p.pid)
}

// usage returns the CPU time of all its threads, also of those that have ended,
// and its resident memory in bytes.
func (p *process) usage() (cpu time.Duration, rss int64, err error) {
	if err := p.ended(); err != nil {
		return 0, 0, err
	}
	if cpu, err = processCPU(p.pid); err != nil {
		return 0, 0, fmt.Errorf("%s's CPU time: %w", p.name, err)
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, 0, err
	}
	rss, err = parseRSS(string(data))
	return cpu, rss, err
}

// parseRSS reads /proc/PID/status.
func parseRSS(status string) (int64, error) {
	_, rest, _ := strings.Cut(status, "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) < 2 || fields[1] != "kB" {
		return 0, errors.New("no VmRSS in /proc/PID/status")
	}
	kB, err := strconv.ParseInt(fields[0], 10, 64)
	return kB << 10, err
}

// servant is the user for programs that refuse to run as root: nil is ourselves.
func servant() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // no other user is needed
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// freeAddr is an address on loopback where nobody listens.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// raiseFileLimit lets us and our children have as many sockets as the system
// admits.
func raiseFileLimit(need uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max < need {
		return fmt.Errorf("the limit of open files is %d, %d are needed (ulimit -Hn)", limit.Max, need)
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
