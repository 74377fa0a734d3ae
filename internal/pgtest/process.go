package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is one running postmaster.
type process struct {
	pid  int
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; valid after done
}

// startProcess starts cmd as the owner in a process group of its own, so that a
// Ctrl-C in the terminal reaches us and not the servers.
//
// The goroutine stays on its thread until the process has ended: the kernel
// binds the parent death signal to the thread that forked, not to the process.
func startProcess(cmd *exec.Cmd, o owner) (*process, error) {
	cmd.SysProcAttr = processAttr(o.cred)
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends sig unless the process has ended.
func (p *process) signal(sig syscall.Signal) error {
	if !p.running() {
		return nil
	}
	if err := syscall.Kill(p.pid, sig); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("signal %v to postgres %d: %w", sig, p.pid, err)
	}
	return nil
}

// wait reports whether the process ended within d.
func (p *process) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// kill ends the postmaster and all of its children at once, as the loss of the
// machine would. The postmaster is halted first, so that it can neither fork
// nor reap: the pids of its children stay theirs until they are dead.
func (p *process) kill() error {
	if !p.running() {
		return nil
	}
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	children := childrenOf(p.pid)
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
	}
	if !p.wait(killTimeout) {
		return fmt.Errorf("postgres %d survived SIGKILL for %v", p.pid, killTimeout)
	}
	return waitGone(children)
}

const killTimeout = 10 * time.Second

// waitGone waits until killed processes that are not our children are dead: as
// long as one holds the shared memory, the server does not start again.
func waitGone(pids []int) error {
	deadline := time.Now().Add(killTimeout)
	for _, pid := range pids {
		for isAlive(pid) {
			if time.Now().After(deadline) {
				return fmt.Errorf("backend %d survived SIGKILL for %v", pid, killTimeout)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// runAs runs a program to its end as the owner and returns its output as part
// of the error.
func runAs(cmd *exec.Cmd, o owner) error {
	cmd.SysProcAttr = processAttr(o.cred)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Path, err, out)
	}
	return nil
}

// serverEnv is the environment of the servers: ours without what would change
// their answers from one machine to the next.
func serverEnv(home string) []string {
	env := make([]string, 0, len(os.Environ())+3)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "HOME=") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C", "HOME="+home)
}
