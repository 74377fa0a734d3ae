//go:build !linux

package bench

import (
	"errors"
	"syscall"
	"time"
)

func childAttr(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: cred, Setpgid: true}
}

func processCPU(int) (time.Duration, error) {
	return 0, errors.New("only Linux tells the CPU time of another process")
}

func familyCPU(int) (time.Duration, error) {
	return 0, errors.New("only Linux tells the CPU time of other processes")
}
