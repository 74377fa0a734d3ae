package bench

import (
	"syscall"
	"time"
	"unsafe"
)

func childAttr(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: cred, Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// processCPU reads the CPU clock of another process, in nanoseconds, where
// /proc/PID/stat has hundredths of a second. The clock's number is made as
// clock_getcpuclockid(3) does it: the inverted pid and CPUCLOCK_SCHED.
func processCPU(pid int) (time.Duration, error) {
	const schedClock = 2
	clock := uintptr(int32(^pid<<3 | schedClock))
	var t syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0, errno
	}
	return time.Duration(t.Nano()), nil
}
