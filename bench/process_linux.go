package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// familyCPU is the CPU time of a process, of its children, and of those that it
// had and has waited for: of a PostgreSQL server, if the process is its
// postmaster.
func familyCPU(pid int) (time.Duration, error) {
	fields := statFields(strconv.Itoa(pid))
	if fields == nil {
		return 0, fmt.Errorf("no process %d", pid)
	}
	sum, err := reapedCPU(fields)
	if err != nil {
		return 0, err
	}
	own, err := processCPU(pid)
	if err != nil {
		return 0, err
	}
	sum += own
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		name := filepath.Base(filepath.Dir(path))
		if f := statFields(name); len(f) < 2 || f[1] != strconv.Itoa(pid) {
			continue
		}
		child, err := strconv.Atoi(name)
		if err != nil {
			return 0, err
		}
		if used, err := processCPU(child); err == nil { // it may have ended since
			sum += used
		}
	}
	return sum, nil
}

// statFields is what follows "pid (name) " in /proc/PID/stat, from the state on;
// nil if there is no such process. The name may hold anything.
func statFields(pid string) []string {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return nil
	}
	text := string(data)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}

// reapedCPU is the CPU time of children that were waited for. proc(5) counts
// cutime and cstime as the fields 16 and 17, in hundredths of a second.
func reapedCPU(fields []string) (time.Duration, error) {
	if len(fields) < 15 {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	user, err := strconv.ParseInt(fields[13], 10, 64)
	system, err2 := strconv.ParseInt(fields[14], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err, err2)
}
