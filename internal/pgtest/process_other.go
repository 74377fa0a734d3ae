//go:build !linux

package pgtest

import "syscall"

// processAttr is all that systems without a parent death signal offer: a server
// outlives us when Stop is not called.
func processAttr(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: cred, Setpgid: true}
}

// childrenOf finds nobody: without /proc, children end when they notice that
// the postmaster is dead.
func childrenOf(int) []int { return nil }

func isAlive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func removeSharedMemory(string) {}
