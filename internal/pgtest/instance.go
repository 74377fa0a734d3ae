package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mode is a way to shut PostgreSQL down.
type Mode int

const (
	// Smart waits for the clients to leave.
	Smart Mode = iota
	// Fast ends all connections and shuts down cleanly.
	Fast
	// Immediate ends at once; the next start recovers from the WAL.
	Immediate
)

func (m Mode) signal() syscall.Signal {
	switch m {
	case Smart:
		return syscall.SIGTERM
	case Fast:
		return syscall.SIGINT
	default:
		return syscall.SIGQUIT
	}
}

// How long a start, and a stop of any mode, may take.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

var errStopped = errors.New("the cluster is stopped")

// Instance is one PostgreSQL server of a cluster. Its methods may be called from
// any goroutine, but one life (Stop, Restart, Kill) at a time.
type Instance struct {
	// Immutable after the first start.
	Name      string
	Port      int
	SocketDir string
	DataDir   string
	LogFile   string
	cluster   *Cluster

	// Changed by Promote, Rejoin, Rebuild and Demote.
	upstream *Instance // whom it follows; nil for a primary

	// Guarded by mu, which is not held while waiting for the server.
	mu     sync.Mutex
	proc   *process // nil before the first start
	closed bool     // its cluster is stopped, so it must not start again
}

// Addr returns the host and port it listens on.
func (i *Instance) Addr() string { return "127.0.0.1:" + strconv.Itoa(i.Port) }

// Pid returns the process id of the postmaster, 0 if it does not run.
func (i *Instance) Pid() int {
	if p := i.process(); p != nil && p.running() {
		return p.pid
	}
	return 0
}

// Log returns what the server has logged since its first start.
func (i *Instance) Log() string {
	data, err := os.ReadFile(i.LogFile)
	if err != nil {
		return ""
	}
	return string(data)
}

// Stop shuts the server down and waits for its end. It does nothing if the
// server does not run.
func (i *Instance) Stop(mode Mode) error {
	p := i.process()
	if p == nil {
		return nil
	}
	if err := p.signal(mode.signal()); err != nil {
		return err
	}
	if !p.wait(stopTimeout) {
		return fmt.Errorf("%s (pid %d) still runs %v after %v", i.Name, p.pid, stopTimeout, mode.signal())
	}
	return nil
}

// Kill ends the server and its backends with SIGKILL, like the loss of its
// machine. Restart brings it back with crash recovery.
func (i *Instance) Kill() error {
	if p := i.process(); p != nil {
		return p.kill()
	}
	return nil
}

// Freeze halts the server and its backends: connections stay open, the kernel
// still accepts new ones, and nobody answers. Thaw ends that.
func (i *Instance) Freeze() error { return i.signalAll(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (i *Instance) Thaw() error { return i.signalAll(syscall.SIGCONT) }

func (i *Instance) signalAll(sig syscall.Signal) error {
	p := i.process()
	if p == nil || !p.running() {
		return nil
	}
	err := p.signal(sig) // first of all: no new children
	for _, pid := range childrenOf(p.pid) {
		_ = syscall.Kill(pid, sig) // it may have ended by itself
	}
	return err
}

// Restart starts the server on the same port and waits until it takes
// connections. A running one is shut down first (Fast).
func (i *Instance) Restart(ctx context.Context) error {
	if err := i.Stop(Fast); err != nil {
		return err
	}
	return i.start(ctx)
}

// Reload makes the server read its configuration files again.
func (i *Instance) Reload() error {
	p := i.process()
	if p == nil {
		return nil
	}
	return p.signal(syscall.SIGHUP)
}

// startFirst configures and starts the instance for the first time. Its port is
// free when chosen, but may be taken before postgres has it.
func (i *Instance) startFirst(ctx context.Context) error {
	var err error
	for range 5 {
		if i.Port, err = freePort(); err != nil {
			return err
		}
		if err = i.writeConfig(); err != nil {
			return err
		}
		before := len(i.Log())
		if err = i.start(ctx); err == nil {
			i.cluster.logf("%s: port %d, pid %d", i.Name, i.Port, i.Pid())
			return nil
		}
		if !strings.Contains(i.Log()[before:], "Address already in use") {
			return err
		}
	}
	return err
}

// start launches postgres and waits until it takes connections.
func (i *Instance) start(ctx context.Context) error {
	p, err := i.launch()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := i.waitReady(ctx, p); err != nil {
		return fmt.Errorf("start %s: %w\n%s", i.Name, err, lastLines(i.Log(), 15))
	}
	return nil
}

func (i *Instance) launch() (*process, error) {
	log, err := os.OpenFile(i.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own descriptor

	cmd := exec.Command(filepath.Join(i.cluster.opts.BinDir, "postgres"), "-D", i.DataDir)
	cmd.Dir = i.DataDir
	cmd.Env = serverEnv(i.cluster.Dir)
	cmd.Stdout, cmd.Stderr = log, log

	// Under the lock, so that close either sees the process or prevents it.
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.closed:
		return nil, errStopped
	case i.proc != nil && i.proc.running():
		return nil, fmt.Errorf("%s runs already", i.Name)
	}
	p, err := startProcess(cmd, i.cluster.owner)
	if err != nil {
		return nil, err
	}
	i.proc = p
	return p, nil
}

func (i *Instance) waitReady(ctx context.Context, p *process) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := i.connect(ctx, "postgres")
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("postgres ended: %w", p.err)
		case <-ctx.Done():
			return fmt.Errorf("%w; last answer: %w", context.Cause(ctx), err)
		}
	}
}

// close stops the instance for good: as mode says, and by force if that does
// not end it.
func (i *Instance) close(mode Mode) error {
	i.mu.Lock()
	i.closed = true
	p := i.proc
	i.mu.Unlock()
	if p == nil {
		return nil
	}
	_ = i.Thaw() // a halted process does not see its signal
	if err := i.Stop(mode); err != nil {
		if err := p.kill(); err != nil {
			return err
		}
	}
	removeSharedMemory(i.DataDir)
	return nil
}

func (i *Instance) process() *process {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.proc
}

func lastLines(text string, n int) string {
	lines := bytes.SplitAfter([]byte(text), []byte("\n"))
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return string(bytes.Join(lines, nil))
}
