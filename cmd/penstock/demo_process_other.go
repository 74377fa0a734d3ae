//go:build !linux

package main

import "syscall"

// demoChildAttr is all that systems without a parent death signal offer.
func demoChildAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
