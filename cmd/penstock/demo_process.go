package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// demoProcess is Penstock as a child process.
type demoProcess struct {
	// Immutable after startDemoProcess.
	cmd    *exec.Cmd
	output string // file of its standard output
	log    string // file of its log

	done chan struct{} // closed when it has ended
	end  string        // how it ended; valid after done
}

// startDemoProcess starts a program in a process group of its own, so that a
// Ctrl-C in the terminal reaches us and not the child.
//
// The goroutine stays on its thread until the child has ended: the kernel binds
// the parent death signal to the thread that forked.
func startDemoProcess(dir, program string, args ...string) (*demoProcess, error) {
	p := &demoProcess{
		cmd:    exec.Command(program, args...),
		output: filepath.Join(dir, "penstock.out"), log: filepath.Join(dir, "penstock.log"), done: make(chan struct{}),
	}
	stdout, err := os.Create(p.output)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stdout.Close() }()
	stderr, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stderr.Close() }()
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = stdout, stderr, demoChildAttr()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
			p.end = p.cmd.ProcessState.String()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return p, nil
}

func (p *demoProcess) pid() int { return p.cmd.Process.Pid }

// waitReady waits until it lets a client in.
func (p *demoProcess) waitReady(ctx context.Context, dsn string) error {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	for {
		conn, err := pgconn.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-p.done:
			return fmt.Errorf("penstock has ended: %s", p.end)
		case <-ctx.Done():
			return fmt.Errorf("penstock does not let us in: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// said is its standard output so far.
func (p *demoProcess) said() string {
	data, _ := os.ReadFile(p.output)
	return string(data)
}

// lastLog is the end of its log, for the reader of a failure.
func (p *demoProcess) lastLog() string {
	if p == nil {
		return ""
	}
	data, _ := os.ReadFile(p.log)
	return "The end of Penstock's log:\n" + lastLines(string(data), 15) + "\n"
}

// rss is its memory in bytes, 0 where there is no /proc.
func (p *demoProcess) rss() int {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kB, _ := strconv.Atoi(fields[0])
	return kB << 10
}

// stop asks it to finish open transactions, then less and less politely.
func (p *demoProcess) stop() error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		_ = p.cmd.Process.Signal(sig) // it may have ended by itself
		select {
		case <-p.done:
			if sig == syscall.SIGKILL {
				return errors.New("penstock had to be killed")
			}
			return nil
		case <-time.After(3 * time.Second):
		}
	}
	return fmt.Errorf("process %d does not end", p.pid())
}
