package main

import "syscall"

// demoChildAttr lets the kernel end the child when the demo is gone without
// having cleaned up.
func demoChildAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT}
}
